//! `lint`: what the API server would refuse, and what would go wrong later. Offline.
//!
//! | question | file |
//! |---|---|
//! | What is a finding? | [`findings`] |
//! | What would the API server refuse? | [`schema`] |
//! | What of a rollout would go wrong later? | [`rollout`] |
//! | Do the Services that a rollout names fit it? | [`service`] |
//! | Will the pods start, serve and end as a release needs it? | [`template`] |
//! | Can the conditions and times of an analysis be read, and its metrics be bad? | [`analysis_template`] |

mod analysis_template;
mod findings;
mod rollout;
mod schema;
mod service;
mod template;

use std::path::PathBuf;

use anyhow::Result;
use greenlight_api::text::one_line;

use self::findings::{Finding, Lint};
use crate::exit::Exit;
use crate::manifests::{self, Manifest};

/// Prints the findings. Exit code 2 when one is an error, or with `strict` any.
pub fn run(files: &[PathBuf], strict: bool) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let findings = lint(&manifests);
    for finding in &findings {
        let level = if finding.error { "error" } else { "warning" };
        let [place, field, message] = [&finding.place, &finding.field, &finding.message].map(|text| one_line(text));
        println!("{place}: {level}: {field}: {message}");
    }
    let rollouts = manifests.iter().filter(|manifest| manifest.kind() == "BlueGreenRollout").count();
    let errors = findings.iter().filter(|finding| finding.error).count();
    eprintln!("Rollouts: {rollouts}, errors: {errors}, warnings: {}.", findings.len() - errors);
    Ok(if errors > 0 || strict && !findings.is_empty() { Exit::Refused } else { Exit::Done })
}

/// Everything that is to mend in manifests that belong together.
pub fn lint(manifests: &[Manifest]) -> Vec<Finding> {
    let mut lint = Lint { manifests, findings: Vec::new() };
    let is_ours = |manifest: &Manifest| manifest.api_version().starts_with("greenlight.dev/");
    // No other API has this kind.
    let is_meant = |manifest: &Manifest| is_ours(manifest) || manifest.kind() == "BlueGreenRollout";
    manifests.iter().filter(|manifest| is_meant(manifest)).for_each(|manifest| lint.check_api_version(manifest));
    for manifest in manifests.iter().filter(|manifest| is_ours(manifest)) {
        lint.check_schema(manifest);
        match manifest.kind() {
            "BlueGreenRollout" => lint.check_rollout(manifest),
            "AnalysisTemplate" | "ClusterAnalysisTemplate" => lint.check_analysis_template(manifest),
            _ => {}
        }
    }
    lint.findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_rollout_of_another_api_or_of_no_version_that_there_is_is_an_error() {
        let found = |api_version: &str| {
            let text =
                format!("apiVersion: {api_version}\nkind: BlueGreenRollout\nmetadata: {{name: web}}\nspec: {{}}\n");
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.error && finding.field == "apiVersion")
        };
        assert!(found("argoproj.io/v1alpha1") && found("greenlight.dev/v2") && !found("greenlight.dev/v1alpha1"));
    }

    #[test]
    fn a_timer_beside_a_person_is_told() {
        let found = |enabled: bool| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {{name: web}}\nspec:\n  strategy:\n    \
                 blueGreen:\n      autoPromotionEnabled: {enabled}\n      autoPromotionSeconds: 60\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.message.contains("promotes without a person"))
        };
        assert!(found(false) && !found(true));
    }

    #[test]
    fn a_number_that_begins_with_0_is_octal_as_it_is_to_kubectl() {
        let text = "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      \
                    volumes:\n      - name: keys\n        secret: {secretName: keys, defaultMode: 0400}\n";
        let manifests = manifests::documents(Path::new("f.yaml"), text).expect("YAML");
        assert_eq!(manifests[0].value["spec"]["template"]["spec"]["volumes"][0]["secret"]["defaultMode"], 0o400);
        assert!(!lint(&manifests).iter().any(|finding| finding.field.contains("defaultMode")));
    }

    #[test]
    fn of_a_template_of_a_chart_it_is_told_how_to_make_manifests_of_it() {
        let text = "{{- if .Values.web }}\nkind: Service\n{{- end }}\n";
        let told = manifests::documents(Path::new("f.yaml"), text).expect_err("no YAML").to_string();
        assert_eq!(told, "f.yaml:1: this is not YAML. If it is a chart's, render that first: helm template");
    }

    #[test]
    fn an_analysis_template_of_the_other_scope_is_not_the_one_that_is_meant() {
        let found = |scope: &str| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {{name: web}}\nspec:\n  strategy:\n    blueGreen:\n      \
                 prePromotionAnalysis: {{templates: [{{templateName: smoke{scope}}}]}}\n---\napiVersion: greenlight.dev/v1alpha1\nkind: \
                 ClusterAnalysisTemplate\nmetadata: {{name: smoke}}\nspec: {{}}\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| {
                finding.field == "spec.strategy.blueGreen.prePromotionAnalysis"
                    && finding.message.starts_with("no AnalysisTemplate smoke is among the files")
            })
        };
        assert!(found("") && !found(", clusterScope: true"));
    }

    #[test]
    fn of_two_services_of_one_name_the_one_in_the_rollouts_namespace_is_meant() {
        let found = |own: &str| {
            let service = |namespace: &str| {
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{app: web}}}}\n"
                )
            };
            let rollout = "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {name: web, namespace: shop}\nspec: \
                           {strategy: {blueGreen: {activeService: web}}}\n";
            let text = [service("test").as_str(), service(own).as_str(), rollout].join("---\n");
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.message.contains("is in another namespace"))
        };
        assert!(found("other") && !found("shop"));
    }

    #[test]
    fn a_query_without_an_address_is_an_error() {
        let found = |address: &str| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: AnalysisTemplate\nmetadata: {{name: up}}\nspec:\n  metrics:\n  - name: up\n    \
                 provider:\n      prometheus: {{query: up{address}}}\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.error && finding.message.contains("address is missing"))
        };
        assert!(found("") && !found(", address: \"http://p\""));
    }

    /// `failureLimit: 3` for a Job that may fail three times, say.
    #[test]
    fn a_metric_that_is_good_however_bad_its_measurements_are_is_told() {
        let found = |fields: &str| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: AnalysisTemplate\nmetadata: {{name: up}}\nspec:\n  metrics:\n  - {{name: up, {fields}, \
                 provider: {{web: {{url: \"http://up\"}}}}}}\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| !finding.error && finding.field == "spec.metrics.0.failureLimit")
        };
        for bad in ["failureLimit: 1", "failureLimit: 3, count: 3, interval: 1s", "failureLimit: \"1\", count: 0"] {
            assert!(found(bad), "{bad}");
        }
        let good = ["failureLimit: 0", "failureLimit: 2, count: 3, interval: 1s", "failureLimit: 9, interval: 1s"];
        for good in good.into_iter().chain(["failureLimit: 9, count: \"{{args.count}}\""]) {
            assert!(!found(good), "{good}");
        }
    }

    #[test]
    fn what_is_limited_is_requested_too() {
        let found = |resources: &str| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      \
                 containers: [{{name: web, resources: {resources}}}]\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.message.contains("requests none"))
        };
        assert!(found("{}") && !found("{limits: {cpu: 1}}") && !found("{requests: {cpu: 1}}"));
    }

    #[test]
    fn an_annotation_of_the_template_that_a_role_takes_away_is_told() {
        let found = |key: &str| {
            let text = format!(
                "apiVersion: greenlight.dev/v1alpha1\nkind: BlueGreenRollout\nmetadata: {{name: web}}\nspec:\n  template:\n    metadata:\n      \
                 annotations: {{team: shop}}\n  strategy:\n    blueGreen:\n      activeMetadata:\n        annotations: {{{key}: live}}\n"
            );
            let findings = lint(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"));
            findings.iter().any(|finding| finding.message.contains("the template has the annotation team, too"))
        };
        assert!(found("team") && !found("role"));
    }
}
