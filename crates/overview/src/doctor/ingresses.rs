//! Do the Ingresses lead to the Services?

use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding};

impl Evidence {
    pub(super) fn check_ingresses(&self, findings: &mut Vec<Finding>) {
        let ours: Vec<&str> = self.rollout.spec.blue_green().services().collect();
        for ingress in &self.ingresses {
            let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
            let backends =
                rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths)).map(|path| &path.backend);
            for backend in backends.filter_map(|backend| backend.service.as_ref()) {
                let Some(service) = self.services.iter().find(|service| service.name_any() == backend.name) else {
                    // Only an Ingress that also leads to us is our business.
                    let edit = self.kubectl(&format!("edit ingress {}", ingress.name_any()));
                    if leads_to(ingress, &ours) {
                        findings.push(Finding {
                            about: About::Ingress(ingress.name_any()),
                            symptom: format!("Ingress {} leads nowhere", ingress.name_any()),
                            cause: format!("its backend Service {} does not exist", backend.name),
                            fix: edit,
                        });
                    }
                    continue;
                };
                if !ours.contains(&backend.name.as_str()) {
                    continue;
                }
                let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
                let Some(wanted) = &backend.port else { continue };
                let has_it = ports.iter().any(|port| {
                    wanted.number.is_some_and(|number| port.port == number)
                        || wanted.name.is_some() && port.name == wanted.name
                });
                if !has_it {
                    let port =
                        wanted.name.clone().or(wanted.number.map(|number| number.to_string())).unwrap_or_default();
                    let there: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
                    findings.push(Finding {
                        about: About::Service(backend.name.clone()),
                        symptom: format!("Ingress {} does not reach Service {}", ingress.name_any(), backend.name),
                        cause: format!("it names port {port}; the Service has {}", there.join(", ")),
                        fix: self.kubectl(&format!("edit ingress {}", ingress.name_any())),
                    });
                }
            }
        }
    }
}

fn leads_to(ingress: &Ingress, services: &[&str]) -> bool {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    let paths = rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths));
    paths.filter_map(|path| path.backend.service.as_ref()).any(|backend| services.contains(&backend.name.as_str()))
}
