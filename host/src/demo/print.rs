//! The steps of the story: told line by line as they happen, or all at once as JSON.

use crate::cli::show::{line, safe, short};
use dsm_host::node::SubmitError;
use dsm_sdk::receipt::Receipt;
use serde::Serialize;
use std::io::IsTerminal as _;

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    number: usize,
    title: &'static str,
    events: Vec<Event>,
}

/// Something that happened in a step.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    /// A transition became durable.
    Accepted { what: String, receipt: Box<Receipt> },
    /// A transition was refused, and nothing moved.
    Refused { what: String, code: String, reason: String, policy_code: Option<u16> },
    /// Something else to know.
    Fact { what: String, value: String },
}

/// The story so far.
pub(super) struct Told {
    json: bool,
    colour: bool,
    pub(super) steps: Vec<Step>,
}

const GREEN: &str = "32";
const RED: &str = "31";
const DIM: &str = "2";
const BOLD: &str = "1";
/// Columns of what happened, before what became of it.
const WIDTH: usize = 56;

impl Told {
    pub(super) fn new(json: bool) -> Told {
        let colour = !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Told { json, colour, steps: Vec::new() }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &'static str) {
        let number = self.steps.len() + 1;
        self.line(&format!("\n{:>2}  {}", number, self.paint(BOLD, title)));
        self.steps.push(Step { number, title, events: Vec::new() });
    }

    pub(super) fn accepted(&mut self, what: &str, receipt: &Receipt) {
        let place = format!(
            "{} at {}, {}",
            short(receipt.transition),
            receipt.position,
            crate::cli::session::durability_words(receipt)
        );
        self.event_line(what, &format!("{}  {}", self.paint(GREEN, "accepted"), self.paint(DIM, &place)));
        self.push(Event::Accepted { what: what.to_owned(), receipt: Box::new(receipt.clone()) });
    }

    pub(super) fn refused(&mut self, what: &str, error: &SubmitError) {
        let (reason, policy_code) = match error {
            SubmitError::Refused(dsm_core::Refusal::Denied { denial, .. }) => {
                (denial.reason.clone(), Some(denial.code))
            }
            other => (other.to_string(), None),
        };
        let code = error.code().to_owned();
        let numbered = policy_code.map_or_else(|| code.clone(), |number| format!("{code} {number}"));
        self.event_line(what, &format!("{}   {numbered}", self.paint(RED, "refused")));
        self.line(&format!("      {}", self.paint(DIM, &safe(&reason))));
        self.push(Event::Refused { what: what.to_owned(), code, reason, policy_code });
    }

    pub(super) fn fact(&mut self, what: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        self.event_line(what, &value);
        self.push(Event::Fact { what: what.to_owned(), value });
    }

    fn event_line(&self, what: &str, rest: &str) {
        self.line(&format!("    {what:WIDTH$}  {rest}"));
    }

    fn push(&mut self, event: Event) {
        if let Some(step) = self.steps.last_mut() {
            step.events.push(event);
        }
    }

    pub(super) fn line(&self, text: &str) {
        if !self.json {
            line(text);
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
