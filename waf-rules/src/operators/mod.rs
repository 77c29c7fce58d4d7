//! Operators: the question a rule asks of one value, one file a name (or a tight family).
//!
//! Semantics are those of libmodsecurity 3 unless the file says otherwise. An operator is compiled
//! once at load, where every error is reported, and then asked without I/O.

mod captures;
mod prefilter;

pub(crate) use self::captures::Captures;
pub(crate) use self::prefilter::Prefilter;

/// A compiled `@name argument`, without its `!`.
#[derive(Debug)]
pub(crate) struct Operator {
    name: &'static str,
}

impl Operator {
    /// Compiles `@name argument`; `read` loads the data files of `@pmFromFile` and `@ipMatchFromFile`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the name or the argument.
    pub(crate) fn compile(
        name: &str,
        _argument: &str,
        _read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        Err(format!("unknown operator @{name}"))
    }

    /// The name as ModSecurity prints it in messages: `Rx`, `Pm`, `DetectSQLi`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// True if the argument holds macros or may: `matches` is then given the expanded text.
    pub(crate) fn takes_macro(&self) -> bool {
        false
    }

    /// True if `value` matches. `argument` is the macro-expanded argument where
    /// [`Operator::takes_macro`] says so, else the literal one. `captures` is filled on a match.
    pub(crate) fn matches(
        &self,
        _value: &[u8],
        _argument: &[u8],
        _captures: Option<&mut Captures>,
    ) -> bool {
        false
    }

    /// What a value must have to match at all; `None` if nothing cheap can be said.
    pub(crate) fn prefilter(&self) -> Option<Prefilter> {
        None
    }
}
