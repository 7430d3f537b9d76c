//! `dynamicfs presets`.

use crate::Preset;
use crate::config::fields;

use super::arguments::PresetsArgs;
use super::exit::{Exit, Failure};
use super::print;
use super::status::plain;

pub(crate) fn run(args: &PresetsArgs) -> Result<(), Failure> {
    match &args.name {
        None => print(&overview()),
        Some(name) => {
            let preset = name.parse().map_err(|_| {
                Failure::new(
                    Exit::Usage,
                    format_args!(
                        "preset {name}: unknown; known: {}",
                        Preset::NAMES.join(", ")
                    ),
                )
            })?;
            print(&details(preset))
        }
    }
}

/// All settings, and their values in all presets.
fn overview() -> String {
    let mut header = vec!["setting"];
    header.extend(Preset::NAMES);
    let mut table = plain([]);
    table.set_header(header);
    for field in fields() {
        let mut row = vec![field.name().to_owned()];
        row.extend(Preset::ALL.iter().map(|preset| field.get(&preset.config())));
        table.add_row(row);
    }
    table.trim_fmt() + "\n"
}

fn details(preset: Preset) -> String {
    let config = preset.config();
    let mut table = plain(["setting", "value", "accepted", "meaning"]);
    for field in fields() {
        table.add_row([
            field.name(),
            &field.get(&config),
            &field.accepted(),
            field.description(),
        ]);
    }
    table.trim_fmt() + "\n"
}
