//! `cargo xtask conformance`

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use dynamicfs::config::{Preset, TransportChoice};
use dynamicfs_lab::conformance::{self, Conformance, Plan, judge};
use dynamicfs_lab::exceptions::Exception;
use dynamicfs_lab::images::{self, HOST};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::power::cut::CUTS;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::suites::xfstests::Xfstests;
use dynamicfs_lab::suites::{Programs, Suite, afp, smbtorture};
use dynamicfs_lab::target::Permissions;
use dynamicfs_lab::volumes::{Manner, Volumes};
use dynamicfs_lab::{exceptions, namespace, report, tools};

use crate::build::build;

/// Runs each suite on a fresh ext4 image and on the preset mounted over an identical one, in
/// private namespaces, and prints what differs. Exit status: 0 when nothing differs beyond
/// lab/exceptions.toml, 1 when something does or was not run, 2 when nothing could be run.
#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    /// The preset to compare
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) preset: PresetChoice,
    /// The suite to run
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) suite: SuiteChoice,
    /// Who checks permissions: the kernel (default_permissions), the storage, or both in turn
    /// [default: both for pjdfstest, otherwise kernel]
    #[arg(long, value_enum)]
    pub(crate) permissions: Option<PermissionsChoice>,
    /// Less to wait for: pjdfstest with the kernel's permissions only, a smaller large file, and in
    /// `lab run` no workloads
    #[arg(long)]
    pub(crate) quick: bool,
    /// How requests reach the daemon (auto: as each preset says); accepted differences may be those of
    /// one transport
    #[arg(long, value_enum, default_value = "auto")]
    transport: TransportArg,
    #[command(flatten)]
    pub(crate) xfstests: XfstestsArgs,
    /// A program to test instead of dynamicfs; may be an imitation that does not mount FUSE
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub(crate) command: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetChoice {
    All,
    Safe,
    Balanced,
    HighPerformance,
    Baseline,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuiteChoice {
    All,
    One(Suite),
}

/// By the names that the suites have everywhere.
impl ValueEnum for SuiteChoice {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<SuiteChoice>> = LazyLock::new(|| {
            let suites = Suite::ALL.into_iter().map(SuiteChoice::One);
            [SuiteChoice::All].into_iter().chain(suites).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            SuiteChoice::All => "all",
            SuiteChoice::One(suite) => suite.name(),
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransportArg {
    Auto,
    Linux,
    Fuser,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PermissionsChoice {
    Kernel,
    Storage,
    Both,
}

impl PresetChoice {
    pub(crate) fn presets(self) -> Vec<Preset> {
        match self {
            PresetChoice::All => Preset::ALL.to_vec(),
            PresetChoice::Safe => vec![Preset::Safe],
            PresetChoice::Balanced => vec![Preset::Balanced],
            PresetChoice::HighPerformance => vec![Preset::HighPerformance],
            PresetChoice::Baseline => vec![Preset::Baseline],
        }
    }
}

impl SuiteChoice {
    pub(crate) fn suites(self) -> Vec<Suite> {
        match self {
            // What this machine can run: the others need file systems, servers or trees of their own.
            SuiteChoice::All => Suite::EVERYWHERE
                .into_iter()
                .chain([Suite::Build, Suite::Load])
                .collect(),
            SuiteChoice::One(suite) => vec![suite],
        }
    }
}

impl PermissionsChoice {
    pub(crate) fn permissions(self) -> Vec<Permissions> {
        match self {
            PermissionsChoice::Kernel => vec![Permissions::Kernel],
            PermissionsChoice::Storage => vec![Permissions::Storage],
            PermissionsChoice::Both => vec![Permissions::Kernel, Permissions::Storage],
        }
    }
}

/// What somebody has who has xfstests.
#[derive(clap::Args, Clone)]
pub(crate) struct XfstestsArgs {
    /// A built tree of xfstests, for the suite of that name, which runs only with it: on this machine,
    /// in `lab run` also in user-mode Linux
    #[arg(long, value_name = "DIR")]
    xfstests: Option<PathBuf>,
    /// The group of xfstests to run
    #[arg(
        long,
        value_name = "GROUP",
        default_value = "generic/quick",
        requires = "xfstests"
    )]
    xfstests_group: String,
}

impl XfstestsArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.xfstests.is_some()
    }

    /// The tree, if one is given that can be run.
    pub(crate) fn tree(&self) -> Result<Option<Xfstests>> {
        let tree = self.xfstests.as_ref();
        tree.map(|tree| Xfstests::new(tree, &self.xfstests_group))
            .transpose()
    }
}

impl Args {
    pub(crate) fn plan(&self) -> Plan {
        let presets = self.preset.presets();
        let mut suites = self.suite.suites();
        if self.suite == SuiteChoice::All && self.xfstests.is_given() {
            suites.push(Suite::Xfstests);
        }
        let permissions = match self.permissions {
            None if !self.quick => None,
            None => Some(vec![Permissions::Kernel]),
            Some(choice) => Some(choice.permissions()),
        };
        Plan {
            presets,
            suites,
            permissions,
        }
    }

    fn transport(&self) -> TransportChoice {
        match self.transport {
            TransportArg::Auto => TransportChoice::Auto,
            TransportArg::Linux => TransportChoice::Linux,
            TransportArg::Fuser => TransportChoice::Fuser,
        }
    }

    /// Installs and builds what the plan needs. Outside the namespaces: these must outlive them.
    pub(crate) fn prepare(&self, paths: &Paths) -> Result<()> {
        let suites = self.plan().suites;
        if suites.contains(&Suite::Xfstests) && self.xfstests.tree()?.is_none() {
            bail!("the suite xfstests needs a tree that you built: --xfstests DIR");
        }
        self.prepare_command(paths)?;
        prepare_suites(paths, &suites)
    }

    /// Installs what mounts, and builds the command under test unless another one is given.
    pub(crate) fn prepare_command(&self, paths: &Paths) -> Result<()> {
        tools::ensure_packages(tools::LAB_PACKAGES)?;
        if self.command.is_none() {
            build(paths, &["--release", "--package=dynamicfs"])?;
        }
        Ok(())
    }

    /// The file systems and the command under test.
    pub(crate) fn volumes(&self, paths: &Paths) -> Result<Volumes> {
        let built = paths.release("dynamicfs");
        let program = self.command.as_ref().unwrap_or(&built);
        let program = program
            .canonicalize()
            .with_context(|| format!("no command to test at {}", program.display()))?;
        let manner = Manner {
            quick: self.quick,
            patience: 1,
            cuts: if self.quick { 1 } else { CUTS },
        };
        let volumes = Volumes::in_files(paths, &program, self.command.is_some(), manner)?;
        Ok(volumes.by_transport(self.transport()))
    }

    /// Runs the plan in the namespaces of this process.
    pub(crate) fn compare(
        &self,
        plan: &Plan,
        paths: &Paths,
        exceptions: &[Exception],
        progress: &Progress,
    ) -> Result<Conformance> {
        let volumes = self.volumes(paths)?;
        let mut programs = Programs::of(paths);
        programs.xfstests = self.xfstests.tree()?;
        let ran = conformance::run(&plan.cells(), &volumes, &programs, progress);
        Ok(judge(HOST, &ran, exceptions))
    }
}

/// Installs and builds what suites run. Outside the namespaces: these must outlive them.
pub(crate) fn prepare_suites(paths: &Paths, suites: &[Suite]) -> Result<()> {
    for (suite, packages) in [
        (Suite::Programs, tools::PROGRAMS_PACKAGES),
        (Suite::Build, tools::BUILD_PACKAGES),
        (Suite::Load, tools::LOAD_PACKAGES),
        (Suite::Xfstests, tools::XFSTESTS_PACKAGES),
    ] {
        if suites.contains(&suite) {
            tools::ensure_packages(packages)?;
        }
    }
    if suites.contains(&Suite::Pjdfstest) {
        tools::ensure_tool(paths, tools::PJDFSTEST)?;
    }
    if suites.contains(&Suite::Fsx) {
        tools::ensure_tool(paths, tools::FSX)?;
    }
    if suites.contains(&Suite::Smbtorture) {
        tools::ensure_packages(smbtorture::PACKAGES)?;
    }
    if suites.contains(&Suite::Afp) {
        tools::ensure_packages(afp::PACKAGES)?;
    }
    // The callers of the suite daemon are this program, too.
    let cases = [Suite::Suite, Suite::Finder, Suite::Casefold, Suite::Daemon];
    if suites.iter().any(|suite| cases.contains(suite)) {
        // Of this very profile: its dependencies are built already.
        build(paths, &["--package=dynamicfs-lab", "--bin=dynamicfs-suite"])?;
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let exceptions = exceptions::load(
        &paths.exceptions(),
        &images::names(&paths)?,
        args.transport(),
    )?;
    if !namespace::is_isolated() {
        args.prepare(&paths)?;
    }
    namespace::isolate()?;
    let plan = args.plan();
    if plan.cells_of_presets().is_empty() {
        bail!("nothing to run");
    }
    let progress = Progress::new(plan.cells().len());
    let result = args.compare(&plan, &paths, &exceptions, &progress)?;
    progress.finish();
    println!("{}", report::table(&result.comparisons));
    print!("{}", report::details(&result));
    Ok(result.is_clean())
}
