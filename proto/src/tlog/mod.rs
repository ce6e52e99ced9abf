//! The transparency log: RFC 6962 trees and C2SP notes.
