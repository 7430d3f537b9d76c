//! The record of what was asked of the kernel and what came of it.

use serde::{Deserialize, Serialize};

/// One capability or limit: asked, granted, in effect, and why those differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    /// The name: the kernel's for capabilities, the configuration's for limits.
    pub name: String,
    /// What was asked; "no" where the configuration or the storage does not want it.
    pub asked: String,
    /// What the kernel offers or accepted.
    pub granted: String,
    /// What is in force.
    pub effective: String,
    /// Why less is in force than was asked, or why it was not asked.
    pub why: Option<String>,
}

impl Negotiated {
    /// A capability, which is in force or not.
    pub fn capability(name: &str, asked: bool, granted: bool, why: Option<String>) -> Negotiated {
        Negotiated {
            name: name.to_owned(),
            asked: yes_no(asked),
            granted: yes_no(granted),
            effective: yes_no(asked && granted),
            why,
        }
    }

    /// A limit in the unit of its name.
    pub fn limit(name: &str, asked: impl ToString, effective: impl ToString) -> Negotiated {
        let (asked, effective) = (asked.to_string(), effective.to_string());
        Negotiated {
            name: name.to_owned(),
            why: None,
            granted: effective.clone(),
            asked,
            effective,
        }
    }

    /// The same with a reason.
    pub fn because(mut self, why: impl Into<String>) -> Negotiated {
        self.why = Some(why.into());
        self
    }
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiation {
    /// Version of the FUSE protocol that the kernel speaks: major, minor.
    pub kernel_abi: (u32, u32),
    /// Every capability and limit.
    pub items: Vec<Negotiated>,
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
