//! The compiler and linker that make a policy's module, and the flags that make its bytes the same everywhere.
//!
//! The same choice and the same flags as `policies/build.sh`: rustup's target where it is installed, else Debian's
//! compiler with `core` and `alloc` built once into a cache. Bytes depend on sources, compiler and linker alone: paths are
//! taken out of them, and of the names that cargo makes from paths (`policies/stable-rustc.sh`).

use super::project::Project;
use super::sdk;
use crate::cli::failure::{Failure, file_failure};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32v1-none";
/// Stack first and small: stack, data and heap of one evaluation fit into one or two pages. At most 64 pages, as the gate
/// demands.
const LINK_FLAGS: [&str; 2] = ["-Clink-arg=-zstack-size=32768", "-Clink-arg=--max-memory=4194304"];
/// A compiler that forgets where the project lies.
const STABLE_RUSTC: &str = include_str!("../../../../policies/stable-rustc.sh");
/// Where Debian's packages put their programs.
const SYSTEM: &str = "/usr/bin";
/// What would change the bytes or the place of a build from outside.
const DISTURBING: [&str; 4] = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_", "RUSTC"];

/// What builds modules here.
#[derive(Debug)]
pub(super) struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    /// Debian's compiler: `core` and `alloc` come from a cache, and the linker from beside it.
    debian: bool,
    rust_source: PathBuf,
    /// What the compiler says of itself.
    pub(super) compiler: String,
    /// What the linker says of itself.
    pub(super) linker: String,
}

/// Where to look for programs.
struct Places {
    /// The folders of `PATH`.
    path: Vec<PathBuf>,
    /// The folder of the system's own programs.
    system: PathBuf,
}

impl Places {
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|folder| folder.join(name)).find(|file| is_program(file))
    }

    fn in_system(&self, name: &str) -> Option<PathBuf> {
        Some(self.system.join(name)).filter(|file| is_program(file))
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What a program prints, without the end of the line; nothing if it fails.
fn ask(program: &Path, words: &[&str], folder: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// How the module is to be built.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// Exactly what the lock file has.
    pub(super) locked: bool,
    /// What a module that is not for publishing keeps.
    pub(super) named: Named,
}

/// Whether functions keep their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Named {
    /// They do not: what is published.
    #[default]
    No,
    /// They do, and are what they were: for profiles.
    Yes,
    /// They do, and each stays in one piece, so that a finding can say where it is.
    InOnePiece,
}

impl Toolchain {
    /// The toolchain that builds in `folder`.
    pub(super) fn find(folder: &Path) -> Result<Toolchain, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = Places { path: std::env::split_paths(&path).collect(), system: SYSTEM.into() };
        Toolchain::find_in(&places, folder)
    }

    fn find_in(places: &Places, folder: &Path) -> Result<Toolchain, Failure> {
        let mut old = None;
        if let (Some(rustc), Some(cargo)) = (places.find("rustc"), places.find("cargo"))
            && let Some(sysroot) = ask(&rustc, &["--print", "sysroot"], folder).map(PathBuf::from)
            && let Some(compiler) = ask(&rustc, &["--version"], folder)
            && sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
            && let Some(linker) = own_linker(&sysroot, folder)
        {
            if is_recent(&compiler) {
                let rust_source = sysroot.join("lib/rustlib/src/rust");
                return Ok(Toolchain { rustc, cargo, debian: false, rust_source, compiler, linker });
            }
            old = Some(compiler);
        }
        if let (Some(rustc), Some(cargo)) = (places.in_system("rustc"), places.in_system("cargo"))
            && let Some(linker) = places.find("wasm-ld").and_then(|file| ask(&file, &["--version"], folder))
            && let Some(sysroot) = ask(&rustc, &["--print", "sysroot"], folder).map(PathBuf::from)
            && let Some(compiler) = ask(&rustc, &["--version"], folder)
            && sysroot.join("lib/rustlib/src/rust/library/core").is_dir()
        {
            if is_recent(&compiler) {
                let rust_source = sysroot.join("lib/rustlib/src/rust");
                return Ok(Toolchain { rustc, cargo, debian: true, rust_source, compiler, linker });
            }
            old.get_or_insert(compiler);
        }
        Err(missing(places, old))
    }

    /// A command of this toolchain's cargo in `folder`.
    pub(super) fn cargo(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(folder).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let disturbs =
                name.to_str().is_some_and(|name| DISTURBING.iter().any(|start| name.starts_with(start)));
            if disturbs || name == "RUSTFLAGS" || name == "CARGO_ENCODED_RUSTFLAGS" {
                command.env_remove(&name);
            }
        }
        if self.debian {
            // A rustup in PATH would put its own compiler before this one.
            command.env("PATH", "/usr/bin:/bin").env("RUSTC", &self.rustc);
            command.env("CARGO_TARGET_WASM32V1_NONE_LINKER", "wasm-ld");
        }
        command
    }

    /// Builds the project's module below `target` and gives its bytes. What cargo says goes to stderr as it is.
    pub(super) fn build(&self, project: &Project, target: &Path, how: How) -> Result<Vec<u8>, Failure> {
        let work = tempfile::tempdir().map_err(|error| file_failure(&std::env::temp_dir(), &error))?;
        let wrapper = work.path().join("stable-rustc.sh");
        write_script(&wrapper).map_err(|error| file_failure(&wrapper, &error))?;
        let mut cargo = self.cargo(&project.folder);
        cargo
            .env("DSM_PROJECT", &project.root)
            .env("RUSTC_WRAPPER", &wrapper)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(project)?.join("\x1f"))
            .args([
                "build",
                "--quiet",
                "--release",
                "--lib",
                "--target",
                TARGET,
                "--package",
                &project.package,
            ])
            .arg("--target-dir")
            .arg(target);
        if how.locked {
            cargo.arg("--locked");
        }
        if how.named != Named::No {
            cargo.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
        }
        if how.named == Named::InOnePiece {
            cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        }
        let status =
            cargo.stdout(Stdio::null()).status().map_err(|error| file_failure(&self.cargo, &error))?;
        if !status.success() {
            let help = "cargo's own messages, with file and line, are above; `cargo test` in the project checks \
                        the same source without WASM";
            return Err(
                Failure::refused("build_failed", format!("{} does not compile", project.name)).help(help)
            );
        }
        let file = target.join(TARGET).join("release").join(format!("{}.wasm", project.library));
        std::fs::read(&file).map_err(|error| file_failure(&file, &error))
    }

    fn flags(&self, project: &Project) -> Result<Vec<String>, Failure> {
        let mut flags = Vec::new();
        if self.debian {
            flags.push(format!("--sysroot={}", self.overlay()?.display()));
        }
        flags.extend(LINK_FLAGS.map(str::to_owned));
        let source = self.rust_source.canonicalize().unwrap_or_else(|_| self.rust_source.clone());
        let registry = cargo_home().join("registry/src");
        for (from, to) in [
            (self.rust_source.as_path(), "/rust"),
            (&source, "/rust"),
            (&registry, "/registry"),
            (&project.root, "/dsm"),
        ] {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        Ok(flags)
    }

    /// `core`, `alloc` and `panic_abort` of Debian's compiler for the target, built once and without root.
    fn overlay(&self) -> Result<PathBuf, Failure> {
        let cache = cache_folder();
        let plain = |one: char| if one.is_ascii_alphanumeric() || one == '.' { one } else { '-' };
        let overlay = cache.join(self.compiler.chars().map(plain).collect::<String>());
        let libraries = Path::new("lib/rustlib").join(TARGET).join("lib");
        if overlay.join(&libraries).is_dir() {
            return Ok(overlay);
        }
        let io = |error: std::io::Error| file_failure(&cache, &error);
        eprintln!("building core and alloc for {TARGET} once, into {}", overlay.display());
        std::fs::create_dir_all(&cache).map_err(io)?;
        // On the same file system, so that it appears whole or not at all.
        let work = tempfile::tempdir_in(&cache).map_err(io)?;
        let (seed, made) = (work.path().join("seed"), work.path().join("made"));
        std::fs::create_dir_all(seed.join("src")).map_err(io)?;
        std::fs::create_dir_all(made.join(&libraries)).map_err(io)?;
        std::fs::write(seed.join("Cargo.toml"), SEED_MANIFEST).map_err(io)?;
        std::fs::write(seed.join("src/lib.rs"), "#![no_std]\n").map_err(io)?;
        let source = self.rust_source.canonicalize().map_err(io)?;
        let mut flags = String::from("-Cembed-bitcode=yes");
        for (from, to) in [(&self.rust_source, "/rust"), (&source, "/rust"), (&seed, "/seed")] {
            flags += &format!("\x1f--remap-path-prefix={}={to}", from.display());
        }
        let mut cargo = self.cargo(&seed);
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .args(["build", "--quiet", "--release", "--target", TARGET, "--target-dir"])
            .arg(seed.join("target"))
            .arg("-Zbuild-std=core,alloc,panic_abort");
        let status =
            cargo.stdout(Stdio::null()).status().map_err(|error| file_failure(&self.cargo, &error))?;
        if !status.success() {
            let message = format!("{} could not build core for {TARGET}", self.compiler);
            return Err(Failure::refused("toolchain_missing", message).help(
                "cargo's own messages are above; `rustup target add wasm32v1-none` needs no such build",
            ));
        }
        let built = seed.join("target").join(TARGET).join("release/deps");
        for entry in std::fs::read_dir(&built).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".rlib") && !name.starts_with("libseed-") {
                std::fs::copy(&file, made.join(&libraries).join(name)).map_err(io)?;
            }
        }
        match std::fs::rename(&made, &overlay) {
            Err(_) if overlay.join(&libraries).is_dir() => {} // another build was quicker
            moved => moved.map_err(io)?,
        }
        Ok(overlay)
    }
}

const SEED_MANIFEST: &str = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                             [profile.release]\npanic = \"abort\"\nopt-level = 3\n[workspace]\n";

fn write_script(file: &Path) -> std::io::Result<()> {
    let mut script = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(file)?;
    script.write_all(STABLE_RUSTC.as_bytes())
}

/// What the linker inside a compiler's own folder says of itself.
fn own_linker(sysroot: &Path, folder: &Path) -> Option<String> {
    let targets = std::fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    let linkers = targets.filter_map(|entry| Some(entry.ok()?.path().join("bin/rust-lld")));
    let linker = linkers.filter(|file| is_program(file)).min()?;
    ask(&linker, &["-flavor", "wasm", "--version"], folder)
}

/// Whether `rustc 1.95.0 (…)` builds the SDK.
fn is_recent(compiler: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split(['.', '-']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let found = compiler.split_whitespace().nth(1).and_then(numbers);
    found.is_some_and(|found| numbers(sdk::rust_version()).is_some_and(|needed| found >= needed))
}

/// No toolchain, and the one command that gets it.
fn missing(places: &Places, old: Option<String>) -> Failure {
    if let Some(old) = old {
        let message = format!("{old} is too old: the SDK needs Rust {}", sdk::rust_version());
        return Failure::refused("toolchain_old", message).help("`rustup update stable` gets a newer one");
    }
    let (message, help) = if places.find("rustup").is_some() {
        (
            "Rust is here, and its target for policies is not",
            format!("`rustup target add {TARGET}` installs it"),
        )
    } else if places.find("apt-get").is_some() {
        (
            "there is no compiler for WASM here",
            "`apt-get install rustc-web cargo-web rust-web-src lld` installs one".to_owned(),
        )
    } else {
        (
            "there is no compiler for WASM here",
            format!("install Rust with rustup, then `rustup target add {TARGET}`"),
        )
    };
    Failure::refused("toolchain_missing", message).help(help)
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

/// Where what is built once is kept.
fn cache_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    cache.unwrap_or_else(|| home().join(".cache")).join("dsm/sysroot")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with programs that print what is asked of them.
    fn programs(rows: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in rows {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn compiler(version: &str, sysroot: &Path) -> String {
        format!(
            "case \"$1\" in --version) echo 'rustc {version} (x)';; *) echo '{}';; esac",
            sysroot.display()
        )
    }

    #[test]
    fn a_toolchain_that_is_missing_or_old_is_answered_with_one_command() {
        let sysroot = tempfile::tempdir().unwrap();
        let below = |path: &str| {
            let path = sysroot.path().join("lib/rustlib").join(path);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        below("wasm32v1-none/lib");
        below("src/rust/library/core");
        let linker = below("some-host/bin").join("rust-lld");
        std::fs::write(&linker, "#!/bin/sh\necho LLD 22\n").unwrap();
        std::fs::set_permissions(&linker, std::fs::Permissions::from_mode(0o755)).unwrap();
        let nowhere = Path::new("nowhere");
        let (good, old) = (compiler("1.99.0", sysroot.path()), compiler("1.94.1", sysroot.path()));
        let bare = compiler("1.99.0", nowhere);
        // PATH, the system's folder, what is found or the code and the command.
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], Result<bool, (&'a str, &'a str)>);
        let rows: &[Row<'_>] = &[
            (&[("rustc", &good), ("cargo", ":")], &[], Ok(false)),
            (
                &[("rustc", &bare), ("cargo", ":"), ("wasm-ld", "echo LLD")],
                &[("rustc", &good), ("cargo", ":")],
                Ok(true),
            ),
            (
                &[("rustc", &old), ("cargo", ":"), ("wasm-ld", "echo LLD")],
                &[("rustc", &good), ("cargo", ":")],
                Ok(true),
            ),
            (&[("rustc", &old), ("cargo", ":")], &[], Err(("toolchain_old", "rustup update stable"))),
            (
                &[("rustc", &bare), ("cargo", ":"), ("rustup", ":")],
                &[],
                Err(("toolchain_missing", "rustup target add wasm32v1-none")),
            ),
            (
                &[("apt-get", ":")],
                &[("rustc", &good), ("cargo", ":")],
                Err(("toolchain_missing", "apt-get install rustc-web cargo-web rust-web-src lld")),
            ),
            (&[], &[], Err(("toolchain_missing", "rustup target add wasm32v1-none"))),
        ];
        for (number, (path, system, expected)) in rows.iter().enumerate() {
            let (path, system) = (programs(path), programs(system));
            let places = Places { path: vec![path.path().into()], system: system.path().into() };
            match (Toolchain::find_in(&places, sysroot.path()), expected) {
                (Ok(found), Ok(debian)) => {
                    assert_eq!(found.debian, *debian, "row {number}");
                    assert!(found.compiler.starts_with("rustc 1.99") && found.linker.starts_with("LLD"));
                }
                (Err(failure), Err((code, command))) => {
                    assert_eq!(failure.code, *code, "row {number}");
                    assert!(failure.help.is_some_and(|help| help.contains(command)), "row {number}");
                }
                (found, _) => panic!("row {number}: {found:?}"),
            }
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (compiler, recent) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", true),
            ("rustc 1.100.0", true),
            ("rustc 2.0.0-nightly", true),
            ("rustc 1.94.9", false),
            ("rustc 1.9.0", false),
            ("something else", false),
        ] {
            assert_eq!(is_recent(compiler), recent, "{compiler}");
        }
    }
}
