//! What every query-frontend needs, whatever the language: a queue with fairness between tenants ([`queue`]), splitting of
//! long ranges by time ([`split`]), the dispatch of parts with retries ([`dispatch`]), and a cache of results in
//! pieces of time ([`cache`]).
//!
//! Nothing here knows a query language: parts of a query and their results are type parameters, and all that is asked of
//! a result is that it can be cut and joined along time.

pub mod cache;
pub mod dispatch;
pub mod queue;
pub mod split;
