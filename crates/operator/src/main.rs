fn main() {
    for crd in greenlight_api::crds() {
        print!("{}", serde_saphyr::to_string(&crd).unwrap());
    }
}
