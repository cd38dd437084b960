//! Before the promotion, or after the switch.

use greenlight_api::{BlueGreenRolloutSpec, RolloutAnalysis};

/// Which analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before the promotion.
    Pre,
    /// After the switch.
    Post,
}

impl Kind {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Pre => "pre-promotion",
            Kind::Post => "post-promotion",
        }
    }

    /// What the spec asks for.
    pub fn spec(self, spec: &BlueGreenRolloutSpec) -> Option<&RolloutAnalysis> {
        let blue_green = spec.blue_green();
        match self {
            Kind::Pre => blue_green.pre_promotion_analysis.as_ref(),
            Kind::Post => blue_green.post_promotion_analysis.as_ref(),
        }
    }
}
