//! The variables rules can name: one enum, one table.
//!
//! The table says for each name whether it has members with keys, where its values come from, and
//! why a known name is not served, so that a rule on it is refused at load instead of never matching.

mod body;
mod clock;
mod graphql;
mod nested;
mod request;
mod response;
mod whole;

pub(crate) use body::fill_body;
pub(crate) use clock::{calendar, date};
pub(crate) use nested::fill_nested;
pub(crate) use request::{fill_defaults, fill_origin, fill_request};
pub(crate) use response::{fill_response, fill_response_body};
pub(crate) use whole::fill_full_request;

/// Where a variable's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Filled once before a phase and unchanged while its rules run: may be cached and prefiltered.
    Fixed,
    /// The values of these fixed variables, in this order.
    Union(&'static [Variable]),
    /// Read at the moment a rule asks: `TX`, matches, clock.
    Live,
    /// Known, but not served; the reason.
    Refused(&'static str),
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    name: &'static str,
    variable: Variable,
    /// True if the values have keys that a selector can name.
    keyed: bool,
    origin: Origin,
}

macro_rules! variables {
    ($($name:literal $variable:ident $keyed:ident $origin:expr;)*) => {
        /// A variable or collection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Variable {
            $(#[doc = $name] $variable,)*
        }

        const TABLE: &[Row] = &[
            $(Row {
                name: $name,
                variable: Variable::$variable,
                keyed: $keyed,
                origin: $origin,
            },)*
        ];
    };
}

use Origin::{Fixed, Live, Refused, Union};

const KEYED: bool = true;
const PLAIN: bool = false;

variables! {
    "ARGS" Args KEYED Union(&[Variable::ArgsGet, Variable::ArgsPost, Variable::ArgsJson]);
    "ARGS_COMBINED_SIZE" ArgsCombinedSize PLAIN Fixed;
    "ARGS_GET" ArgsGet KEYED Fixed;
    "ARGS_GET_NAMES" ArgsGetNames KEYED Fixed;
    "ARGS_JSON" ArgsJson KEYED Fixed;
    "ARGS_JSON_NAMES" ArgsJsonNames KEYED Fixed;
    "ARGS_NAMES" ArgsNames KEYED
        Union(&[Variable::ArgsGetNames, Variable::ArgsPostNames, Variable::ArgsJsonNames]);
    "ARGS_PATH" ArgsPath KEYED Live;
    "ARGS_POST" ArgsPost KEYED Fixed;
    "ARGS_POST_NAMES" ArgsPostNames KEYED Fixed;
    "AUTH_TYPE" AuthType PLAIN Fixed;
    "DURATION" Duration PLAIN Live;
    "ENV" Env KEYED Live;
    "FILES" Files KEYED Fixed;
    "FILES_COMBINED_SIZE" FilesCombinedSize PLAIN Fixed;
    "FILES_NAMES" FilesNames KEYED Fixed;
    "FILES_SIZES" FilesSizes KEYED Fixed;
    "FILES_TMPNAMES" FilesTmpNames KEYED Fixed;
    "FILES_TMP_CONTENT" FilesTmpContent KEYED Fixed;
    "FULL_REQUEST" FullRequest PLAIN Fixed;
    "FULL_REQUEST_LENGTH" FullRequestLength PLAIN Fixed;
    "GEO" Geo KEYED Live;
    "GLOBAL" Global KEYED Live;
    "GRAPHQL" GraphQl KEYED Fixed;
    "GRAPHQL_FIELDS" GraphQlFields KEYED Fixed;
    "GRAPHQL_OPERATIONS" GraphQlOperations KEYED Fixed;
    "HIGHEST_SEVERITY" HighestSeverity PLAIN Live;
    "INBOUND_DATA_ERROR" InboundDataError PLAIN Fixed;
    "IP" Ip KEYED Live;
    "JSON" Json KEYED Refused("no engine fills it; the leaves of JSON are ARGS");
    "MATCHED_VAR" MatchedVar PLAIN Live;
    "MATCHED_VARS" MatchedVars KEYED Live;
    "MATCHED_VARS_NAMES" MatchedVarsNames KEYED Live;
    "MATCHED_VAR_NAME" MatchedVarName PLAIN Live;
    "MODSEC_BUILD" ModsecBuild PLAIN Live;
    "MSC_PCRE_ERROR" MscPcreError PLAIN Live;
    "MSC_PCRE_LIMITS_EXCEEDED" MscPcreLimitsExceeded PLAIN Live;
    "MULTIPART_BOUNDARY_QUOTED" MultipartBoundaryQuoted PLAIN Fixed;
    "MULTIPART_BOUNDARY_WHITESPACE" MultipartBoundaryWhitespace PLAIN Fixed;
    "MULTIPART_CRLF_LF_LINES" MultipartCrlfLfLines PLAIN Fixed;
    "MULTIPART_DATA_AFTER" MultipartDataAfter PLAIN Fixed;
    "MULTIPART_DATA_BEFORE" MultipartDataBefore PLAIN Fixed;
    "MULTIPART_DUPLICATE_PART_HEADER" MultipartDuplicatePartHeader PLAIN Fixed;
    "MULTIPART_FILENAME" MultipartFilename KEYED Fixed;
    "MULTIPART_FILENAME_CHARSET" MultipartFilenameCharset KEYED Fixed;
    "MULTIPART_FILENAME_LANGUAGE" MultipartFilenameLanguage KEYED Fixed;
    "MULTIPART_FILE_LIMIT_EXCEEDED" MultipartFileLimitExceeded PLAIN Fixed;
    "MULTIPART_HEADER_FOLDING" MultipartHeaderFolding PLAIN Fixed;
    "MULTIPART_INVALID_HEADER_FOLDING" MultipartInvalidHeaderFolding PLAIN Fixed;
    "MULTIPART_INVALID_PART" MultipartInvalidPart PLAIN Fixed;
    "MULTIPART_INVALID_QUOTING" MultipartInvalidQuoting PLAIN Fixed;
    "MULTIPART_LF_LINE" MultipartLfLine PLAIN Fixed;
    "MULTIPART_MISSING_SEMICOLON" MultipartMissingSemicolon PLAIN Fixed;
    "MULTIPART_NAME" MultipartName KEYED Fixed;
    "MULTIPART_PART_HEADERS" MultipartPartHeaders KEYED Fixed;
    "MULTIPART_SEMICOLON_MISSING" MultipartSemicolonMissing PLAIN Fixed;
    "MULTIPART_STRICT_ERROR" MultipartStrictError PLAIN Fixed;
    "MULTIPART_UNMATCHED_BOUNDARY" MultipartUnmatchedBoundary PLAIN Fixed;
    "OUTBOUND_DATA_ERROR" OutboundDataError PLAIN Fixed;
    "PATH_INFO" PathInfo PLAIN Fixed;
    "QUERY_STRING" QueryString PLAIN Fixed;
    "REMOTE_ADDR" RemoteAddr PLAIN Fixed;
    "REMOTE_HOST" RemoteHost PLAIN Fixed;
    "REMOTE_PORT" RemotePort PLAIN Fixed;
    "REMOTE_USER" RemoteUser PLAIN Fixed;
    "REQBODY_ERROR" ReqbodyError PLAIN Fixed;
    "REQBODY_ERROR_MSG" ReqbodyErrorMsg PLAIN Fixed;
    "REQBODY_PROCESSOR" ReqbodyProcessor PLAIN Live;
    "REQBODY_PROCESSOR_ERROR" ReqbodyProcessorError PLAIN Fixed;
    "REQBODY_PROCESSOR_ERROR_MSG" ReqbodyProcessorErrorMsg PLAIN Fixed;
    "REQUEST_BASENAME" RequestBasename PLAIN Fixed;
    "REQUEST_BODY" RequestBody PLAIN Fixed;
    "REQUEST_BODY_LENGTH" RequestBodyLength PLAIN Fixed;
    "REQUEST_COOKIES" RequestCookies KEYED Fixed;
    "REQUEST_COOKIES_NAMES" RequestCookiesNames KEYED Fixed;
    "REQUEST_FILENAME" RequestFilename PLAIN Fixed;
    "REQUEST_HEADERS" RequestHeaders KEYED Fixed;
    "REQUEST_HEADERS_NAMES" RequestHeadersNames KEYED Fixed;
    "REQUEST_LINE" RequestLine PLAIN Fixed;
    "REQUEST_METHOD" RequestMethod PLAIN Fixed;
    "REQUEST_PROTOCOL" RequestProtocol PLAIN Fixed;
    "REQUEST_URI" RequestUri PLAIN Fixed;
    "REQUEST_URI_RAW" RequestUriRaw PLAIN Fixed;
    "REQUEST_XML" RequestXml KEYED Union(&[Variable::Xml]);
    "RESOURCE" Resource KEYED Live;
    "RESPONSE_ARGS" ResponseArgs KEYED Fixed;
    "RESPONSE_BODY" ResponseBody PLAIN Fixed;
    "RESPONSE_CONTENT_LENGTH" ResponseContentLength PLAIN Fixed;
    "RESPONSE_CONTENT_TYPE" ResponseContentType PLAIN Fixed;
    "RESPONSE_HEADERS" ResponseHeaders KEYED Fixed;
    "RESPONSE_HEADERS_NAMES" ResponseHeadersNames KEYED Fixed;
    "RESPONSE_PROTOCOL" ResponseProtocol PLAIN Fixed;
    "RESPONSE_STATUS" ResponseStatus PLAIN Fixed;
    "RESPONSE_XML" ResponseXml KEYED Fixed;
    "RES_BODY_ERROR" ResBodyError PLAIN Live;
    "RES_BODY_ERROR_MSG" ResBodyErrorMsg PLAIN Live;
    "RES_BODY_PROCESSOR" ResBodyProcessor PLAIN Live;
    "RES_BODY_PROCESSOR_ERROR" ResBodyProcessorError PLAIN Live;
    "RES_BODY_PROCESSOR_ERROR_MSG" ResBodyProcessorErrorMsg PLAIN Live;
    "RULE" Rule KEYED Live;
    "SERVER_ADDR" ServerAddr PLAIN Fixed;
    "SERVER_NAME" ServerName PLAIN Fixed;
    "SERVER_PORT" ServerPort PLAIN Fixed;
    "SESSION" Session KEYED Live;
    "SESSIONID" SessionId PLAIN Live;
    "STATUS" Status PLAIN Fixed;
    "STATUS_LINE" StatusLine PLAIN Fixed;
    "TIME" Time PLAIN Live;
    "TIME_DAY" TimeDay PLAIN Live;
    "TIME_EPOCH" TimeEpoch PLAIN Live;
    "TIME_HOUR" TimeHour PLAIN Live;
    "TIME_MIN" TimeMin PLAIN Live;
    "TIME_MON" TimeMon PLAIN Live;
    "TIME_SEC" TimeSec PLAIN Live;
    "TIME_WDAY" TimeWday PLAIN Live;
    "TIME_YEAR" TimeYear PLAIN Live;
    "TX" Tx KEYED Live;
    "UNIQUE_ID" UniqueId PLAIN Fixed;
    "URLENCODED_ERROR" UrlencodedError PLAIN Fixed;
    "USER" User KEYED Live;
    "USERAGENT_IP" UseragentIp PLAIN Refused("the host already names the real client in REMOTE_ADDR");
    "USERID" UserId PLAIN Live;
    "WEBAPPID" WebAppId PLAIN Live;
    "WEBSERVER_ERROR_LOG" WebserverErrorLog PLAIN Refused("no engine serves this variable");
    "XML" Xml KEYED Fixed;
}

impl Variable {
    /// How many variables there are: every `index` is below.
    pub(crate) const COUNT: usize = TABLE.len();

    /// The variable called `name`, whatever its letters' case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name))
            .map(|row| row.variable)
    }

    /// The name as messages print it.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// True if the values have keys.
    pub(crate) fn keyed(self) -> bool {
        self.row().keyed
    }

    /// Where the values come from.
    pub(crate) fn origin(self) -> Origin {
        self.row().origin
    }

    /// The variable whose selectors also select among this one's values.
    pub(crate) fn family(self) -> Self {
        match self {
            Self::ArgsGet | Self::ArgsPost | Self::ArgsJson => Self::Args,
            Self::ArgsGetNames | Self::ArgsPostNames | Self::ArgsJsonNames => Self::ArgsNames,
            Self::RequestXml | Self::ResponseXml => Self::Xml,
            other => other,
        }
    }

    /// True if what a rule reads depends on the hour.
    pub(crate) fn is_calendar(self) -> bool {
        self.name().starts_with("TIME")
    }

    /// The persistent collection called `name`.
    pub(crate) fn persistent(name: &str) -> Option<Self> {
        [
            Self::Global,
            Self::Ip,
            Self::Resource,
            Self::Session,
            Self::User,
        ]
        .into_iter()
        .find(|collection| collection.name().eq_ignore_ascii_case(name))
    }

    /// A dense number for tables.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Every name, for suggestions.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the macro writes enum and table from the same list"
    )]
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique_and_lead_to_their_variable() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for row in TABLE {
            assert_eq!(
                Variable::from_name(&row.name.to_lowercase()),
                Some(row.variable)
            );
            assert_eq!(row.variable.name(), row.name);
        }
    }

    #[test]
    fn unions_are_made_of_fixed_variables() {
        for row in TABLE {
            if let Union(parts) = row.origin {
                assert!(parts.iter().all(|part| part.origin() == Fixed));
            }
        }
    }
}
