//! Certificates and TLS policies: the section of `edge-tls`, and what listeners ask of it.

use edge_conn::spec::Listener;
use edge_tls::Settings;
use edge_tls::spec::{Problems, TlsSpec};

use super::Complaints;
use crate::tree::Path;

/// The section, if it is right.
pub(super) fn build(
    spec: TlsSpec,
    _listeners: &[Listener],
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
    settings
}
