//! Words that stand in the tables for our enums, whichever database it is.

use crate::{CancelHow, Error, StopWhy};

pub(crate) fn cancel_text(how: CancelHow) -> &'static str {
    match how {
        CancelHow::Cancel => "cancel",
        CancelHow::Now => "now",
    }
}

pub(crate) fn cancel_how(text: &str) -> Result<CancelHow, Error> {
    match text {
        "cancel" => Ok(CancelHow::Cancel),
        "now" => Ok(CancelHow::Now),
        other => Err(Error::Damaged(format!("cancel {other:?}"))),
    }
}

pub(crate) fn stop_text(why: StopWhy) -> &'static str {
    match why {
        StopWhy::Release => "release",
        StopWhy::Timeout => "timeout",
        StopWhy::Cancel => "cancel",
    }
}

pub(crate) fn stop_why(text: &str) -> Result<StopWhy, Error> {
    match text {
        "release" => Ok(StopWhy::Release),
        "timeout" => Ok(StopWhy::Timeout),
        "cancel" => Ok(StopWhy::Cancel),
        other => Err(Error::Damaged(format!("stopping {other:?}"))),
    }
}
