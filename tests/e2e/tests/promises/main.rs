//! The promises of the design, each shown on a real API server with the real ReplicaSet, EndpointSlice and garbage
//! collection controllers. One control plane serves all tests; each has a namespace and an operator of its own.

mod analysis;
mod argo_suite;
mod attacks;
mod beyond;
mod budget;
mod chart;
mod convert;
mod crash;
mod crowd;
mod deletion;
mod demo_app;
mod docs;
mod doctor;
mod endpoints;
mod faults;
mod leadership;
mod mistakes;
mod monitoring;
mod notifications;
mod operator;
mod package;
mod pipeline;
mod plan;
mod plugin;
mod pods;
mod release;
mod requests;
mod restart;
mod runbooks;
mod status;
mod stories;
mod surroundings;
mod unreadable;
mod use_image;
mod webhook;
