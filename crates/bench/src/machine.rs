//! On what the figures were measured: they mean nothing without it.

use std::path::Path;

use jiff::Zoned;
use serde::Serialize;

/// A machine and a day.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name, where the system says; with its family and model, for hosts hide the rest of the name.
    cpu: Option<String>,
    cores: usize,
    memory_gb: Option<u64>,
    os: String,
    /// File system of the directory in which everything happens.
    disk: Option<String>,
    /// Day of the measurement.
    date: String,
    /// `release`, or `dev`, whose figures mean nothing.
    profile: &'static str,
}

impl Machine {
    /// This machine; `dir` is where state and targets are written.
    pub(crate) fn here(dir: &Path) -> Machine {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':', '=']).trim_matches('"').to_owned())
        };
        let kilobytes = field("/proc/meminfo", "MemTotal");
        let kilobytes = kilobytes.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let name = field("/etc/os-release", "PRETTY_NAME").unwrap_or_else(|| std::env::consts::OS.to_owned());
        let processor = |name| field("/proc/cpuinfo", name);
        let model = processor("cpu family").zip(processor("model\t"));
        let model =
            model.map_or_else(String::new, |(family, model)| format!(" (family {family}, model {model})"));
        Machine {
            cpu: processor("model name").map(|name| format!("{name}{model}")),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gb: kilobytes.map(|kilobytes| kilobytes.saturating_add(500_000) / 1_000_000),
            // What stands after the version names who built it.
            os: format!("{name} {}", kernel.trim().split('-').next().unwrap_or_default())
                .trim_end()
                .to_owned(),
            disk: disk(dir),
            date: Zoned::now().date().to_string(),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        }
    }

    /// One line for people.
    pub(crate) fn show(&self) -> String {
        let mut parts = vec![format!("{} cores", self.cores)];
        parts.extend(self.cpu.clone());
        parts.extend(self.memory_gb.map(|memory| format!("{memory} GB of memory")));
        parts.push(self.os.clone());
        parts.extend(self.disk.clone());
        parts.push(format!("{} build", self.profile));
        parts.push(self.date.clone());
        parts.join(" · ")
    }
}

/// Device and file system under `dir`: of the mounts that contain it, the deepest.
fn disk(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, Path::new(words.next()?), words.next()?))
    });
    let (device, _, kind) =
        mounts.filter(|(_, at, _)| dir.starts_with(at)).max_by_key(|(_, at, _)| at.as_os_str().len())?;
    Some(format!("{kind} on {device}"))
}
