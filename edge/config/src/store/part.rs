//! One file: what is kept of it while it does not change, and what is built from it when it does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::check::Schema;
use crate::env::Env;
use crate::load::{Loader, Tree};
use crate::merge;
use crate::policy::{self, Complaints, Origins, Policy, Profile, Upstream, profiles, upstreams};
use crate::routes::{FileOrder, Route};
use crate::spec::{FragmentSpec, ProfileSpec, RouteSpec, Spec, UpstreamSpec};
use crate::tree::digest::{self, Digest};
use crate::tree::{Node, Value, de};

/// Something that this way does not judge.
#[derive(Debug)]
pub(super) struct Unsure;

/// What is kept of a file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) order: FileOrder,
    pub(super) stamp: Stamp,
    /// Of its bytes.
    pub(super) content: Digest,
    /// Of what it says.
    pub(super) digest: Digest,
    pub(super) upstreams: Box<[Named]>,
    pub(super) profiles: Box<[Named]>,
    pub(super) routes: Box<[Arc<Route>]>,
}

/// What defines a name.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    /// Of what it says.
    pub(super) digest: Digest,
    /// Relative paths in it count from there.
    pub(super) file: Arc<FilePath>,
}

impl Named {
    /// Whether both mean the same.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        self.digest == other.digest && self.file == other.file
    }
}

/// What the system says of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// It was old enough when it was looked at that a later change gives it another time.
    settled: bool,
}

impl Stamp {
    pub(super) fn of(path: &FilePath) -> Result<Self, Unsure> {
        let found = fs::metadata(path).map_err(|_| Unsure)?;
        let changed = (found.ctime(), found.ctime_nsec());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let age = now.ok().and_then(|now| {
            let seconds = u64::try_from(changed.0).ok()?;
            let nanos = u32::try_from(changed.1).ok()?;
            now.checked_sub(Duration::new(seconds, nanos))
        });
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed,
            settled: age.is_some_and(|age| age > CLOCK_STEP),
        })
    }

    /// Of a file that is not written yet; it proves nothing.
    pub(super) const fn none() -> Self {
        Self {
            device: 0,
            inode: 0,
            size: 0,
            modified: (0, 0),
            changed: (0, 0),
            settled: false,
        }
    }

    /// Whether a file that looks like this is the one that was read.
    pub(super) fn proves(&self, now: &Self) -> bool {
        let still = Self {
            settled: self.settled,
            ..*now
        };
        self.settled && *self == still
    }
}

impl Part {
    /// Whether the file is the one that was read; false if that is not sure.
    pub(super) fn is_unchanged(&self) -> bool {
        Stamp::of(&self.order.path).is_ok_and(|now| self.stamp.proves(&now))
    }

    /// The same part with a new stamp, if `text` is what was read.
    pub(super) fn restamped(&self, text: &str, stamp: Stamp) -> Option<Self> {
        (self.content == of_text(text)).then(|| Self {
            stamp,
            ..self.clone()
        })
    }
}

/// A file that was read, its routes not built yet.
pub(super) struct Draft {
    pub(super) part: Part,
    upstreams: BTreeMap<String, UpstreamSpec>,
    profiles: BTreeMap<String, ProfileSpec>,
    pub(super) routes: Vec<RouteSpec>,
    pub(super) origins: Origins,
    /// How many profiles it has that are not those of before.
    pub(super) new_profiles: usize,
    /// There is something to warn of.
    pub(super) doubtful: bool,
}

impl Draft {
    /// Reads a file of `conf.d`.
    pub(super) fn read(
        order: FileOrder,
        text: String,
        stamp: Stamp,
        schema: &Schema,
        env: &dyn Env,
    ) -> Result<Self, Unsure> {
        let content = of_text(&text);
        let mut loader = Loader::new(env);
        let tree = loader.tree(&order.path, text, schema);
        let Some(Tree { mut root, digest }) = tree.filter(|_| loader.errors.is_empty()) else {
            return Err(Unsure);
        };
        let path = Arc::clone(&order.path);
        merge::name_routes(&mut root, &path);
        let FragmentSpec {
            upstreams,
            profiles,
            routes,
        } = de::read(&root).map_err(|_| Unsure)?;
        Ok(Self {
            part: Part {
                order,
                stamp,
                content,
                digest,
                upstreams: named(&root, "upstreams", &path),
                profiles: named(&root, "profiles", &path),
                routes: Box::default(),
            },
            upstreams,
            profiles,
            routes,
            origins: loader.origins(&root),
            new_profiles: 0,
            doubtful: false,
        })
    }

    pub(super) fn build_upstreams(
        &mut self,
        complaints: &mut Complaints,
    ) -> BTreeMap<Arc<str>, Arc<Upstream>> {
        upstreams::build(std::mem::take(&mut self.upstreams), complaints)
    }

    pub(super) fn build_profiles(
        &mut self,
        complaints: &mut Complaints,
    ) -> BTreeMap<Arc<str>, Arc<Profile>> {
        let specs = std::mem::take(&mut self.profiles);
        profiles::build(specs, &mut self.origins, complaints)
    }
}

/// What is kept of the main file.
#[derive(Debug, Clone)]
pub(super) struct Main {
    pub(super) part: Arc<Part>,
    /// Everything but the sites.
    pub(super) frame: Arc<Policy>,
    /// Of everything but the sites.
    pub(super) frame_digest: Digest,
    /// The main file as far as it says what is included.
    pub(super) include: Node,
}

impl Main {
    pub(super) fn read(
        path: &FilePath,
        text: String,
        stamp: Stamp,
        schema: &Schema,
        env: &dyn Env,
    ) -> Result<(Self, Draft), Unsure> {
        let content = of_text(&text);
        let mut loader = Loader::new(env);
        let tree = loader.tree(path, text, schema);
        let Some(Tree { mut root, digest }) = tree.filter(|_| loader.errors.is_empty()) else {
            return Err(Unsure);
        };
        let mut spec: Spec = de::read(&root).map_err(|_| Unsure)?;
        let file: Arc<FilePath> = path.into();
        let part = Part {
            order: FileOrder {
                pattern: 0,
                path: FilePath::new("").into(),
            },
            stamp,
            content,
            digest,
            upstreams: named(&root, "upstreams", &file),
            profiles: named(&root, "profiles", &file),
            routes: Box::default(),
        };
        let mut draft = Draft {
            part: part.clone(),
            upstreams: std::mem::take(&mut spec.upstreams),
            profiles: std::mem::take(&mut spec.profiles),
            routes: std::mem::take(&mut spec.routes),
            origins: loader.origins(&root),
            new_profiles: 0,
            doubtful: false,
        };
        let mut complaints = Complaints::default();
        let frame = policy::frame(spec, &mut complaints).ok_or(Unsure)?;
        draft.doubtful = !complaints.0.is_empty();
        if complaints.has_errors() {
            return Err(Unsure);
        }
        if let Value::Map(entries) = &mut root.value {
            entries.retain(|(key, _)| !SITES.contains(&&*key.name));
        }
        let frame_digest = digest::of(&root);
        if let Value::Map(entries) = &mut root.value {
            entries.retain(|(key, _)| key.name == "include");
        }
        let main = Self {
            part: Arc::new(part),
            frame: Arc::new(frame),
            frame_digest,
            include: root,
        };
        Ok((main, draft))
    }

    /// The same without any site, as before the first load.
    pub(super) fn empty(&self) -> Self {
        self.with_part(Part {
            digest: [0; 32],
            upstreams: Box::default(),
            profiles: Box::default(),
            routes: Box::default(),
            ..Part::clone(&self.part)
        })
    }

    /// The same with its sites built.
    pub(super) fn with_part(&self, part: Part) -> Self {
        Self {
            part: Arc::new(part),
            ..self.clone()
        }
    }
}

/// The names a section defines.
fn named(root: &Node, section: &str, file: &Arc<FilePath>) -> Box<[Named]> {
    let entries = root.get(section).map(|(_, node)| node.entries());
    let entries = entries.unwrap_or_default().iter();
    let entries = entries.map(|(key, node)| Named {
        name: key.name.as_str().into(),
        digest: digest::of(node),
        file: Arc::clone(file),
    });
    entries.collect()
}

fn of_text(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

/// Sections that may stand in any file.
const SITES: [&str; 3] = ["upstreams", "profiles", "routes"];
/// Two changes of a file within this time may leave it with the same times.
const CLOCK_STEP: Duration = Duration::from_millis(50);
