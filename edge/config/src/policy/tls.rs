//! Certificates and TLS policies: the section of `edge-tls`, and what listeners ask of it.

use edge_conn::spec::Listener;
use edge_tls::Settings;
use edge_tls::spec::{Problems, TlsSpec};

use super::Complaints;
use crate::tree::Path;

/// The section, if it is right.
pub(super) fn build(
    spec: TlsSpec,
    listeners: &[Listener],
    complaints: &mut Complaints,
) -> Option<Settings> {
    let root = Path::default().key("tls");
    let mut problems = Problems::default();
    let settings = spec.checked(&mut problems);
    for problem in problems.0 {
        let path = root.below(&problem.path);
        if problem.warning {
            complaints.warn(path, problem.message);
        } else {
            complaints.error(path, problem.message);
        }
    }
    if let Some(settings) = &settings {
        fit(settings, listeners, complaints);
    }
    settings
}

/// A TLS listener needs something to show, and certificates a listener that shows them.
fn fit(settings: &Settings, listeners: &[Listener], complaints: &mut Complaints) {
    let spoken = listeners.iter().position(|one| one.handshake().is_some());
    match spoken {
        Some(index) if !settings.has_certificates() => {
            let path = Path::default().key("listeners").index(index).key("tls");
            complaints
                .error(path, "no certificate: every handshake would be refused")
                .help("name certificates under the top-level key `tls`, in `certificates`");
        }
        None if settings.has_certificates() => {
            let path = Path::default().key("tls");
            complaints
                .warn(
                    path,
                    "no listener speaks TLS, so these certificates are not used",
                )
                .help("a listener with `tls: {}` does");
        }
        Some(_) | None => {}
    }
}
