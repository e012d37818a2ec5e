//! `google.rpc.Status`, and what an OTLP client gets on success.

use crate::wire;

/// A failure as gRPC's rich error model has it, without details.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// A gRPC code, or an HTTP status where the original sends one.
    pub code: i32,
    /// What went wrong.
    pub message: String,
}

impl Status {
    /// The message's wire format.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::new();
        wire::put_uint(&mut message, 1, i64::from(self.code).cast_unsigned());
        wire::put_text(&mut message, 2, &self.message);
        message
    }
}

/// `ExportMetricsServiceResponse`: success, perhaps a partial one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportResponse {
    /// Why a part was refused; empty where all was taken.
    pub error_message: String,
    /// How many points were refused.
    pub rejected_data_points: i64,
}

impl ExportResponse {
    fn is_complete(&self) -> bool {
        self.error_message.is_empty() && self.rejected_data_points == 0
    }

    /// The message's wire format.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.is_complete() {
            wire::put_message(&mut message, 1, |message| {
                wire::put_uint(message, 1, self.rejected_data_points.cast_unsigned());
                wire::put_text(message, 2, &self.error_message);
            });
        }
        message
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        if self.is_complete() {
            return "{}".to_owned();
        }
        let mut partial = serde_json::Map::new();
        if self.rejected_data_points != 0 {
            // 64-bit integers are strings in protobuf's JSON.
            partial.insert("rejectedDataPoints".to_owned(), self.rejected_data_points.to_string().into());
        }
        if !self.error_message.is_empty() {
            partial.insert("errorMessage".to_owned(), self.error_message.clone().into());
        }
        serde_json::json!({ "partialSuccess": partial }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_bytes_of_the_schema() {
        let status = Status { code: 415, message: "no".to_owned() };
        assert_eq!(status.encode(), b"\x08\x9f\x03\x12\x02no");
        assert_eq!(ExportResponse::default().encode(), b"");
        assert_eq!(ExportResponse::default().to_json(), "{}");
        let partial = ExportResponse { error_message: "bad".to_owned(), rejected_data_points: 2 };
        assert_eq!(partial.encode(), b"\x0a\x07\x08\x02\x12\x03bad");
        assert_eq!(partial.to_json(), r#"{"partialSuccess":{"errorMessage":"bad","rejectedDataPoints":"2"}}"#);
    }
}
