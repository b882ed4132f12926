//! The walls between the rooms, as tests: who may depend on whom, what may not be named where, which files are
//! dead, which errors lack a line in the documents.
//!
//! Each test reads the project as cargo and git see it. A wall that is in a newcomer's way is changed here and in
//! ARCHITECTURE.md together, never worked around.

mod deployment;
mod errors;
mod files;
mod project;
mod rooms;
mod source;
mod tables;
