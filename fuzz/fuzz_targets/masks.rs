#![no_main]
//! An update changes what its mask names and nothing else, and again changes nothing more.
use ekiden_control_plane::mask::{Mask, fuzzing::FIELDS};
use ekiden_proto::{
    admin::v1::{Collector, UpdateCollectorRequest},
    settings::v1::Tls,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = UpdateCollectorRequest::decode(data) else { return };
    let given = request.collector.unwrap_or_default();
    let Ok(mask) = Mask::read(FIELDS, request.update_mask.as_ref(), &given) else { return };
    let tls = Tls { server_name: "before".to_owned(), ..Tls::default() };
    let before = Collector { etag: "before".to_owned(), tls: Some(tls), ..Collector::default() };
    let mut after = before.clone();
    mask.apply(&given, &mut after);
    assert!(after.etag == before.etag && after.name == before.name);
    for field in FIELDS.iter().filter(|field| !(field.same)(&before, &after)) {
        let outer = field.path.split('.').next().unwrap_or_default();
        let inner = |path: &str| path.split('.').next() == Some(field.path);
        let named = mask.has(field.path) || mask.has(outer);
        assert!(
            named || FIELDS.iter().any(|f| inner(f.path) && mask.has(f.path)),
            "{}",
            field.path
        );
    }
    let mut again = after.clone();
    mask.apply(&given, &mut again);
    assert_eq!(again, after);
    assert!(mask.changed(&after, &again).is_empty());
});
