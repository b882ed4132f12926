//! The lock file of built policies: which bytes each module has, and what compiled and linked them.
//!
//! ```text
//! policy_lock --compiler TEXT --linker TEXT DIR LOCK     writes LOCK from DIR's *.wasm
//! policy_lock --check DIR LOCK                           compares DIR with LOCK, writes nothing
//! ```
//!
//! The exit code is 0 if the lock was written or agrees, 1 if it does not agree, 2 for anything else.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str =
    "usage: policy_lock --compiler TEXT --linker TEXT DIR LOCK\n       policy_lock --check DIR LOCK";
const HEAD: &str =
    "# Written by policies/build.sh. `cid` is the content address that a policy's document links to.\n";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    compiler: String,
    linker: String,
    module: Vec<Module>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    file: String,
    bytes: u64,
    sha256: String,
    cid: String,
}

enum Command {
    Write { compiler: String, linker: String, dir: PathBuf, lock: PathBuf },
    Check { dir: PathBuf, lock: PathBuf },
}

fn main() -> ExitCode {
    let Some(command) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = match command {
        Command::Write { compiler, linker, dir, lock } => {
            write(compiler, linker, &dir, &lock).map(|()| Vec::new())
        }
        Command::Check { dir, lock } => check(&dir, &lock),
    };
    match outcome {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            differences.iter().for_each(|difference| eprintln!("{difference}"));
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Command> {
    let (mut check, mut compiler, mut linker, mut paths) = (false, None, None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--compiler" => compiler = Some(arguments.next()?),
            "--linker" => linker = Some(arguments.next()?),
            option if option.starts_with('-') => return None,
            path => paths.push(PathBuf::from(path)),
        }
    }
    let [dir, lock] = <[PathBuf; 2]>::try_from(paths).ok()?;
    match (check, compiler, linker) {
        (true, None, None) => Some(Command::Check { dir, lock }),
        (false, Some(compiler), Some(linker)) => Some(Command::Write { compiler, linker, dir, lock }),
        _ => None,
    }
}

fn write(compiler: String, linker: String, dir: &Path, lock: &Path) -> Result<(), String> {
    let module = modules(dir)?;
    if module.is_empty() {
        return Err(format!("{}: no *.wasm", dir.display()));
    }
    let text = toml::to_string(&Lock { compiler, linker, module }).map_err(|error| error.to_string())?;
    std::fs::write(lock, format!("{HEAD}{text}")).map_err(|error| format!("{}: {error}", lock.display()))
}

/// Every difference between the folder and its lock, a line each.
fn check(dir: &Path, lock: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let locked: Lock = toml::from_str(&text).map_err(|error| format!("{}: {error}", lock.display()))?;
    let found = modules(dir)?;
    let mut differences = Vec::new();
    for module in &found {
        match locked.module.iter().find(|locked| locked.file == module.file) {
            None => differences.push(format!("{}: not in the lock", module.file)),
            Some(locked) if locked != module => {
                differences.push(format!("{}: {module:?} where the lock has {locked:?}", module.file));
            }
            Some(_) => {}
        }
    }
    for locked in &locked.module {
        if !found.iter().any(|module| module.file == locked.file) {
            differences.push(format!("{}: in the lock, but not there", locked.file));
        }
    }
    if differences.is_empty() && found != locked.module {
        differences.push("the lock names a module twice or not in order".to_owned());
    }
    Ok(differences)
}

/// The modules in `dir`, in the order of their names.
fn modules(dir: &Path) -> Result<Vec<Module>, String> {
    let at = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut modules = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let file = name.ok_or_else(|| format!("{}: not a readable name", path.display()))?.to_owned();
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let sha256 = dsm_crypto::hash_guest(dsm_abi::import::hash_alg::SHA256, &bytes)
            .ok_or_else(|| "no SHA-256 here".to_owned())?;
        modules.push(Module {
            file,
            bytes: bytes.len() as u64,
            sha256: hex::encode(sha256),
            cid: dsm_sdk::package::module_cid(&bytes).to_string(),
        });
    }
    modules.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Option<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_the_two_forms_of_use_are_understood() {
        assert!(matches!(arguments("--check dist dist.lock"), Some(Command::Check { .. })));
        assert!(matches!(arguments("--compiler c --linker l dist dist.lock"), Some(Command::Write { .. })));
        for line in [
            "",
            "dist dist.lock",
            "--check dist",
            "--check a b c",
            "--linker l dist lock",
            "--check --compiler c dist lock",
            "--verify dist lock",
        ] {
            assert!(arguments(line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_lock_agrees_until_anything_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, lock) = (folder.path().join("dist"), folder.path().join("dist.lock"));
        std::fs::create_dir(&dir).unwrap();
        let write_lock = || write("rustc \"1\"".into(), "lld 2".into(), &dir, &lock);
        assert!(write_lock().is_err(), "nothing to lock");
        std::fs::write(dir.join("cash.wasm"), b"abc").unwrap();
        std::fs::write(dir.join("bond.wasm"), b"").unwrap();
        std::fs::write(dir.join("README"), b"not a module").unwrap();
        write_lock().unwrap();

        let text = std::fs::read_to_string(&lock).unwrap();
        let parsed: Lock = toml::from_str(&text).unwrap();
        assert_eq!((parsed.compiler.as_str(), parsed.linker.as_str()), ("rustc \"1\"", "lld 2"));
        let expected = Module {
            file: "cash.wasm".into(),
            bytes: 3,
            // FIPS 180-4's example, and BLAKE3 of "abc" as a CIDv1 (raw, blake3).
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            cid: CID_OF_ABC.into(),
        };
        assert_eq!(parsed.module[1], expected);
        assert_eq!(parsed.module[0].file, "bond.wasm");
        assert_eq!(check(&dir, &lock).unwrap(), Vec::<String>::new());

        std::fs::write(dir.join("cash.wasm"), b"abd").unwrap();
        assert!(check(&dir, &lock).unwrap()[0].starts_with("cash.wasm: Module"));
        std::fs::remove_file(dir.join("cash.wasm")).unwrap();
        assert_eq!(check(&dir, &lock).unwrap(), ["cash.wasm: in the lock, but not there"]);
        std::fs::write(dir.join("cash.wasm"), b"abc").unwrap();
        std::fs::write(dir.join("new.wasm"), b"abc").unwrap();
        assert_eq!(check(&dir, &lock).unwrap(), ["new.wasm: not in the lock"]);
        std::fs::remove_file(dir.join("new.wasm")).unwrap();
        assert!(check(&dir, &lock).unwrap().is_empty());
        let module = text.split_once("[[module]]").unwrap().1.to_owned();
        std::fs::write(&lock, format!("{text}\n[[module]]{}", module.split("[[module]]").next().unwrap()))
            .unwrap();
        assert_eq!(check(&dir, &lock).unwrap(), ["the lock names a module twice or not in order"]);
        std::fs::write(&lock, format!("surprise = 1\n{text}")).unwrap();
        assert!(check(&dir, &lock).is_err());
    }

    /// Made apart from this code: base32 of 01 55 1e 20 and BLAKE3("abc") =
    /// 6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85.
    const CID_OF_ABC: &str = "bafkr4ideg6z2yocgkez77nr3outtvdnvjdcvqrs5phnqh7jvtrwnlpm5qu";
}
