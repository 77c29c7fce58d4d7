//! CPU time a request costs zentinel-modsec. Usage: `zentinel-cost RULES.conf REQUESTS_FOLDER ROUNDS`
//! (see `../../README.md`). It has no response phases to run.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};

use zentinel_modsec::ModSecurity;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [rules, folder, rounds] = arguments.as_slice() else {
        return Err("usage: zentinel-cost RULES.conf REQUESTS_FOLDER ROUNDS".into());
    };
    let rounds: u32 = rounds.parse()?;
    let engine = ModSecurity::from_file(rules)?;
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let refused = exchange(&engine, &text)?;
        let before = cpu_nanoseconds()?;
        for _ in 0..rounds {
            exchange(&engine, &text)?;
        }
        let spent = (cpu_nanoseconds()? - before) / 1e3 / f64::from(rounds);
        let name = Path::new(&file).file_stem().unwrap_or_default();
        println!(
            "{} blocked={} cpu_us={spent:.2}",
            name.display(),
            u8::from(refused)
        );
    }
    Ok(())
}

/// One exchange through the phases this engine has; true if it was refused.
fn exchange(engine: &ModSecurity, text: &str) -> Result<bool, Box<dyn Error>> {
    let (head, body) = text.split_once("\r\n\r\n").ok_or("not a request")?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = words
        .next()
        .zip(words.next())
        .ok_or("not a request line")?;
    let mut transaction = engine.new_transaction();
    transaction.process_uri(target, method, "HTTP/1.1")?;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        transaction.add_request_header(name, value)?;
    }
    transaction.process_request_headers()?;
    if transaction.has_intervention() {
        return Ok(true);
    }
    if !body.is_empty() {
        transaction.append_request_body(body.as_bytes())?;
    }
    transaction.process_request_body()?;
    Ok(transaction.has_intervention())
}

/// CPU time of this thread so far, from the kernel.
fn cpu_nanoseconds() -> Result<f64, Box<dyn Error>> {
    // The kernel counts up to the present when the processor is handed over, else up to its last tick.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
