//! The configuration as it runs, kept so that the next one costs only what differs.
//!
//! A file that did not change is neither read nor parsed again: what the system says of it is compared
//! first, then its content. Of the sites only those are built anew whose file changed, or that refer to
//! something that did; everything else is shared with the configuration before, object by object.
//!
//! This way never reports a mistake. Whatever it is not sure of (a mistake, a name that stands twice, a
//! file that moved meanwhile) is left to [`load`](crate::load), which reads everything and tells all of it
//! with its place. So a mistake is always reported in the same words, and what both accept is the same.

mod part;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use edge_core::Diagnostic;

use crate::env::Env;
use crate::files::{self, Overlay, Pattern};
use crate::load::{Schemas, load_over};
use crate::policy::routes::Shadows;
use crate::policy::{Complaints, Policy, Profile, Sites, Upstream, profiles, routes};
use crate::routes::{FileOrder, Route};
use crate::shards::Shards;
use part::{Draft, Main, Named, Part, Stamp, Unsure};

/// What may have changed since the configuration was loaded last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Anything.
    Everything,
    /// These files at most, as the system names them.
    Files(BTreeSet<PathBuf>),
}

/// What `include` names: each pattern with its folder as the system knows it.
type Patterns = Arc<[(PathBuf, Pattern)]>;

/// A configuration that was loaded beside the one that runs.
#[derive(Debug)]
pub struct Refreshed {
    /// The configuration.
    pub policy: Arc<Policy>,
    /// How it differs from the one before; `None`: in anything.
    pub delta: Option<Delta>,
    /// There is something to warn of, which [`load`](crate::load) tells.
    pub doubtful: bool,
    state: Option<Box<State>>,
}

/// What a configuration that differs in some sites has that the one before had not.
#[derive(Debug, Default)]
pub struct Delta {
    /// Routes that are gone.
    pub routes_gone: Vec<Arc<Route>>,
    /// Routes that are new.
    pub routes_new: Vec<Arc<Route>>,
    /// Upstream groups that are gone or have another meaning now.
    pub upstreams_gone: Vec<Arc<str>>,
    /// Upstream groups that are new or have another meaning.
    pub upstreams_new: Vec<Arc<Upstream>>,
}

impl Delta {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.routes_gone.is_empty()
            && self.routes_new.is_empty()
            && self.upstreams_gone.is_empty()
            && self.upstreams_new.is_empty()
    }
}

impl Refreshed {
    /// Whether there is an upstream that no route uses.
    fn has_unused(&self) -> bool {
        let routes = self.policy.routes().routes();
        let used: HashSet<&Arc<str>> = routes.map(|route| route.upstream().name()).collect();
        used.len() < self.policy.upstreams().len()
    }
}

/// Loads a configuration again and again.
#[derive(Debug)]
pub struct Store {
    main: PathBuf,
    schemas: Schemas,
    state: Option<Box<State>>,
}

#[derive(Debug, Clone)]
struct State {
    main: Arc<Main>,
    /// Files of `conf.d`, by their path.
    parts: Shards<PathBuf, Arc<Part>>,
    /// What is included, with the folder as the system names it.
    patterns: Patterns,
    sites: Sites,
    route_names: Shards<Arc<str>, ()>,
    /// The profile `default` where no file has one.
    builtin: Arc<Profile>,
    policy: Arc<Policy>,
}

/// What is read anew, and what is no more.
#[derive(Default)]
struct Plan {
    /// With the part that is replaced.
    read: Vec<(FileOrder, Option<Arc<Part>>)>,
    gone: Vec<Arc<Part>>,
}

impl Store {
    /// For the configuration file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            main: path,
            schemas: Schemas::default(),
            state: None,
        }
    }

    /// Loads what `change` may concern. `watch` gets the files to watch, unless only files of `conf.d`
    /// differ. The result counts as loaded only once it is given to [`Store::keep`].
    ///
    /// # Errors
    /// Every mistake, in the order of the files.
    pub fn refresh(
        &self,
        change: &Change,
        env: &dyn Env,
        watch: &mut Vec<PathBuf>,
    ) -> Result<Refreshed, Vec<Diagnostic>> {
        self.refresh_over(change, None, env, watch)
    }

    /// As [`Store::refresh`], as if one file were different. The file has to be written before the
    /// result is kept.
    ///
    /// # Errors
    /// Every mistake, in the order of the files.
    pub fn refresh_over(
        &self,
        change: &Change,
        overlay: Option<&Overlay>,
        env: &dyn Env,
        watch: &mut Vec<PathBuf>,
    ) -> Result<Refreshed, Vec<Diagnostic>> {
        let mut files = Vec::new();
        if let Ok(refreshed) = self.quick(change, overlay, env, &mut files) {
            watch.append(&mut files);
            return Ok(refreshed);
        }
        let loaded = load_over(&self.main, env, watch, overlay)?;
        Ok(Refreshed {
            policy: Arc::new(loaded.policy),
            delta: None,
            doubtful: !loaded.warnings.is_empty(),
            state: None,
        })
    }

    /// Where a file of `conf.d` called `name` stands: as the configuration names it, and as the system
    /// does. `None` if none of that name would be included.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        let patterns = &self.state.as_deref()?.patterns;
        let mut meaning = patterns.iter().filter(|(_, pattern)| pattern.means(name));
        let (real, pattern) = meaning.next()?;
        Some((pattern.folder.join(name), real.join(name)))
    }

    /// The configuration runs: the next one is told apart from it.
    pub fn keep(&mut self, refreshed: Refreshed) {
        self.state = refreshed.state;
    }

    fn quick(
        &self,
        change: &Change,
        overlay: Option<&Overlay>,
        env: &dyn Env,
        watch: &mut Vec<PathBuf>,
    ) -> Result<Refreshed, Unsure> {
        let before = self.state.as_deref();
        if let (Some(before), Change::Files(files)) = (before, change)
            && let Some(plan) = before.plan(files, overlay)
        {
            return self.apply(before.clone(), plan, None, overlay, env);
        }
        watch.push(self.main.clone());
        let stamp = Stamp::of(&self.main)?;
        let unchanged = before.filter(|before| before.main.part.stamp.proves(&stamp));
        let (main, draft) = match unchanged {
            Some(before) => (Arc::clone(&before.main), None),
            None => {
                let text = files::read(&self.main).map_err(|_| Unsure)?;
                let (main, draft) = Main::read(&self.main, text, stamp, &self.schemas.main, env)?;
                (Arc::new(main), Some(draft))
            }
        };
        let (plan, patterns) = self.sweep(before, &main, overlay, watch)?;
        let state = State {
            patterns,
            ..before.map_or_else(|| State::new(&main), |before| Ok(before.clone()))?
        };
        let mut refreshed =
            self.apply(state, plan, draft.map(|draft| (main, draft)), overlay, env)?;
        // Rule files may have changed.
        refreshed.delta = None;
        refreshed.doubtful |= refreshed.has_unused();
        Ok(refreshed)
    }

    /// Compares all files of `conf.d` with those that are known.
    fn sweep(
        &self,
        before: Option<&State>,
        main: &Main,
        overlay: Option<&Overlay>,
        watch: &mut Vec<PathBuf>,
    ) -> Result<(Plan, Patterns), Unsure> {
        let mut errors = Vec::new();
        let mut included = files::included(&self.main, &main.include, &mut errors, watch);
        if !errors.is_empty() {
            return Err(Unsure);
        }
        let patterns = files::patterns(&self.main, &main.include);
        files::lay_over(&mut included, overlay, &patterns);
        let patterns = patterns.into_iter().map(|(pattern, _, _)| {
            let folder = fs::canonicalize(&pattern.folder);
            (folder.unwrap_or_default(), pattern)
        });
        let mut plan = Plan::default();
        let mut seen = HashSet::with_capacity(included.len());
        for file in included {
            let known = before.and_then(|before| before.parts.get(&file.path));
            let known = known.filter(|part| part.order.pattern == file.pattern);
            let differs = overlay.is_some_and(|overlay| overlay.path == file.path);
            if differs || !known.is_some_and(|part| part.is_unchanged()) {
                let order = FileOrder {
                    pattern: file.pattern,
                    path: file.path.as_path().into(),
                };
                plan.read.push((order, known.cloned()));
            }
            if !seen.insert(file.path) {
                return Err(Unsure); // two patterns, one file
            }
        }
        let known = before.map(|before| &before.parts);
        let known = known.into_iter().flat_map(Shards::iter);
        let gone = known.filter(|(path, _)| !seen.contains(*path));
        plan.gone = gone.map(|(_, part)| Arc::clone(part)).collect();
        Ok((plan, patterns.collect()))
    }

    fn apply(
        &self,
        mut state: State,
        plan: Plan,
        main: Option<(Arc<Main>, Draft)>,
        overlay: Option<&Overlay>,
        env: &dyn Env,
    ) -> Result<Refreshed, Unsure> {
        let mut drafts = Vec::with_capacity(plan.read.len());
        let mut replaced = plan.gone;
        for (order, known) in plan.read {
            let stamp = match overlay.filter(|overlay| *overlay.path == *order.path) {
                Some(_) => Stamp::none(),
                None => Stamp::of(&order.path)?,
            };
            let text = files::read_over(&order.path, overlay).map_err(|_| Unsure)?;
            if let Some(known) = known {
                if let Some(same) = known.restamped(&text, stamp) {
                    state.parts.insert(order.path.to_path_buf(), Arc::new(same));
                    continue;
                }
                replaced.push(known);
            }
            drafts.push(Draft::read(
                order,
                text,
                stamp,
                &self.schemas.fragment,
                env,
            )?);
        }
        let mut work = Work::new(state);
        let mut same_frame = true;
        for part in &replaced {
            work.take_out(part);
            work.state.parts.remove(&*part.order.path);
        }
        if let Some((main, draft)) = main {
            let old = std::mem::replace(&mut work.state.main, main);
            same_frame = old.frame_digest == work.state.main.frame_digest;
            work.take_out(&old.part);
            drafts.insert(0, draft);
        }
        work.finish(drafts, same_frame)
    }
}

impl State {
    /// A configuration without any site.
    fn new(main: &Main) -> Result<Self, Unsure> {
        let mut complaints = Complaints::default();
        let specs = [(profiles::DEFAULT.to_owned(), Default::default())];
        let mut built = profiles::build(specs.into(), &mut Default::default(), &mut complaints);
        Ok(Self {
            main: Arc::new(main.empty()),
            parts: Shards::default(),
            patterns: Arc::default(),
            sites: Sites::default(),
            route_names: Shards::default(),
            builtin: built.remove(profiles::DEFAULT).ok_or(Unsure)?,
            policy: Arc::clone(&main.frame),
        })
    }

    fn set_part(&mut self, part: Part) {
        if part.order.path.as_os_str().is_empty() {
            self.main = Arc::new(self.main.with_part(part));
        } else {
            let path = part.order.path.to_path_buf();
            self.parts.insert(path, Arc::new(part));
        }
    }

    /// What to do if only `files` changed; `None` if one of them is not plainly a file of `conf.d`.
    fn plan(&self, files: &BTreeSet<PathBuf>, overlay: Option<&Overlay>) -> Option<Plan> {
        let mut plan = Plan::default();
        for file in files {
            let (pattern, path) = self.meant(file)?;
            let known = self.parts.get(&path).cloned();
            if let Some(overlay) = overlay.filter(|overlay| overlay.path == path) {
                if overlay.text.is_some() {
                    let path = path.as_path().into();
                    plan.read.push((FileOrder { pattern, path }, known));
                } else {
                    plan.gone.extend(known);
                }
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => {
                    let path = path.as_path().into();
                    plan.read.push((FileOrder { pattern, path }, known));
                }
                Ok(_) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    plan.gone.extend(known);
                }
                Err(_) => return None,
            }
        }
        Some(plan)
    }

    /// The only pattern that means `file`, and the path under which it finds it.
    fn meant(&self, file: &FilePath) -> Option<(usize, PathBuf)> {
        let (folder, name) = (file.parent()?, file.file_name()?.to_str()?);
        let patterns = self.patterns.iter().enumerate();
        let mut meaning =
            patterns.filter(|(_, (real, pattern))| real == folder && pattern.means(name));
        let (number, (_, pattern)) = meaning.next()?;
        let path = pattern.folder.join(name);
        meaning.next().is_none().then_some((number, path))
    }
}

/// A configuration in the making.
struct Work {
    state: State,
    delta: Delta,
    /// Upstreams and profiles that were taken out, for those that come back unchanged.
    upstreams: HashMap<Arc<str>, (Named, Arc<Upstream>)>,
    profiles: HashMap<Arc<str>, (Named, Arc<Profile>)>,
    doubtful: bool,
}

impl Work {
    fn new(mut state: State) -> Self {
        let builtin = |profile: &Arc<Profile>| Arc::ptr_eq(profile, &state.builtin);
        if state
            .sites
            .profiles
            .get(profiles::DEFAULT)
            .is_some_and(builtin)
        {
            state.sites.profiles.remove(profiles::DEFAULT);
        }
        Self {
            state,
            delta: Delta::default(),
            upstreams: HashMap::new(),
            profiles: HashMap::new(),
            doubtful: false,
        }
    }

    fn take_out(&mut self, part: &Part) {
        let sites = &mut self.state.sites;
        sites.checksum = sites.checksum.without(&part.digest);
        for named in &part.upstreams {
            if let Some(old) = sites.upstreams.remove(&named.name) {
                let name = Arc::clone(&named.name);
                self.upstreams.insert(name, (named.clone(), old));
            }
        }
        for named in &part.profiles {
            if let Some(old) = sites.profiles.remove(&named.name) {
                let name = Arc::clone(&named.name);
                self.profiles.insert(name, (named.clone(), old));
            }
        }
        for route in &part.routes {
            self.state.route_names.remove(route.name());
            self.delta.routes_gone.push(Arc::clone(route));
        }
    }

    fn finish(mut self, mut drafts: Vec<Draft>, same_frame: bool) -> Result<Refreshed, Unsure> {
        let mut complaints = Complaints::default();
        for draft in &mut drafts {
            self.doubtful |= draft.doubtful;
            self.put_in(draft, &mut complaints)?;
        }
        let builtin = Arc::clone(&self.state.builtin);
        let sites = &mut self.state.sites;
        let default = profiles::DEFAULT.into();
        sites.profiles.entry(default).or_insert(builtin);
        let same_profiles = self.profiles.iter().all(|(name, (_, old))| {
            let new = self.state.sites.profiles.get(name);
            new.is_some_and(|new| Arc::ptr_eq(new, old))
        }) && drafts.iter().all(|draft| draft.new_profiles == 0);
        self.repoint(same_profiles)?;
        let mut shadows = Shadows::default();
        for draft in drafts {
            let routes = routes::build(
                &draft.routes,
                &self.state.sites,
                &draft.part.order,
                &mut { draft.origins },
                &mut shadows,
                &mut complaints,
            );
            for route in &routes {
                let name = Arc::clone(route.name());
                if self.state.route_names.insert(name, ()).is_some() {
                    return Err(Unsure);
                }
            }
            self.delta.routes_new.extend(routes.iter().cloned());
            self.state.set_part(Part {
                routes: routes.into(),
                ..draft.part
            });
        }
        if complaints.has_errors() {
            return Err(Unsure);
        }
        self.doubtful |= !complaints.0.is_empty();
        let sites = &mut self.state.sites;
        sites
            .routes
            .replace(&self.delta.routes_gone, &self.delta.routes_new);
        if sites.routes.is_empty() {
            return Err(Unsure);
        }
        let policy = Arc::new(self.state.main.frame.with_sites(sites));
        self.state.policy = Arc::clone(&policy);
        Ok(Refreshed {
            policy,
            delta: (same_frame && same_profiles).then_some(self.delta),
            doubtful: self.doubtful,
            state: Some(Box::new(self.state)),
        })
    }

    /// Puts the upstreams and profiles of `draft` in; those that say the same as before stay what they
    /// were.
    fn put_in(&mut self, draft: &mut Draft, complaints: &mut Complaints) -> Result<(), Unsure> {
        let sites = &mut self.state.sites;
        sites.checksum = sites.checksum.with(&draft.part.digest);
        let mut built = draft.build_upstreams(complaints);
        for named in &draft.part.upstreams {
            let old = self.upstreams.get(&named.name);
            let upstream = match old.filter(|(old, _)| old.says_as(named)) {
                Some((_, old)) => Arc::clone(old),
                None => {
                    let new = built.remove(&named.name).ok_or(Unsure)?;
                    self.delta.upstreams_new.push(Arc::clone(&new));
                    new
                }
            };
            let name = Arc::clone(&named.name);
            if sites.upstreams.insert(name, upstream).is_some() {
                return Err(Unsure); // defined twice
            }
        }
        let mut built = draft.build_profiles(complaints);
        for named in &draft.part.profiles {
            let old = self.profiles.get(&named.name);
            let profile = match old.filter(|(old, _)| old.says_as(named)) {
                Some((_, old)) => Arc::clone(old),
                None => {
                    draft.new_profiles += 1;
                    built.remove(&named.name).ok_or(Unsure)?
                }
            };
            let name = Arc::clone(&named.name);
            if sites.profiles.insert(name, profile).is_some() {
                return Err(Unsure);
            }
        }
        Ok(())
    }

    /// Routes of other files follow the names they use to what these mean now.
    fn repoint(&mut self, same_profiles: bool) -> Result<(), Unsure> {
        let sites = self.state.sites.clone();
        let mut changed = HashSet::new();
        for (name, (_, old)) in &self.upstreams {
            let new = sites.upstreams.get(name);
            if !new.is_some_and(|new| Arc::ptr_eq(new, old)) {
                changed.insert(Arc::clone(name));
            }
        }
        self.delta.upstreams_gone = changed.iter().cloned().collect();
        let other_profile = |route: &Route| {
            let new = sites.profiles.get(route.profile().name());
            !new.is_some_and(|new| Arc::ptr_eq(new, route.profile()))
        };
        let moved =
            |route: &Route| changed.contains(route.upstream().name()) || other_profile(route);
        if changed.is_empty() && same_profiles {
            return Ok(());
        }
        let mut parts: Vec<Arc<Part>> = self.state.parts.values().cloned().collect();
        parts.push(Arc::clone(&self.state.main.part));
        for part in parts {
            if !part.routes.iter().any(|route| moved(route)) {
                continue;
            }
            let mut routes = Vec::with_capacity(part.routes.len());
            for route in &part.routes {
                if !moved(route) {
                    routes.push(Arc::clone(route));
                    continue;
                }
                let upstream = sites.upstreams.get(route.upstream().name()).ok_or(Unsure)?;
                let profile = sites.profiles.get(route.profile().name()).ok_or(Unsure)?;
                let new = Arc::new(route.pointed_at(upstream, profile).ok_or(Unsure)?);
                self.delta.routes_gone.push(Arc::clone(route));
                self.delta.routes_new.push(Arc::clone(&new));
                routes.push(new);
            }
            self.state.set_part(Part {
                routes: routes.into(),
                ..Part::clone(&part)
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
