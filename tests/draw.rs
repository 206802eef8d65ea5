//! `cnnctl draw`: every net of `models/` as SVG, PNG and dot.

use std::{fs, path::Path, process::Command};

use cnnctl::config::load_net;

fn draw(arguments: &[&str]) -> Option<i32> {
    let command = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .args(["draw", "--quiet", "--threads", "1", "--model"])
        .args(arguments)
        .output()
        .unwrap();
    command.status.code()
}

#[test]
fn every_model_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for model in fs::read_dir("models").unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let net = model.join("deploy.prototxt");
        let [svg, dot] = ["net.svg", "net.dot"].map(|name| folder.path().join(name));
        let arguments = [&net, &svg, &dot].map(|p| p.to_str().unwrap());
        assert_eq!(draw(&arguments), Some(0), "{}", net.display());
        let (svg, dot) = (fs::read_to_string(svg).unwrap(), fs::read_to_string(dot).unwrap());
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        // What has parameters has a box of its own.
        let layers = load_net(&net).unwrap().net.layer;
        for layer in
            layers.iter().filter(|l| ["Convolution", "InnerProduct", "Pooling"].contains(&l.r#type()))
        {
            let name = layer.name();
            assert!(svg.contains(&format!(">{name}</text>")), "{}: {name}", net.display());
            assert!(dot.contains(&format!("\"{name}\\n")), "{}: {name}", net.display());
        }
    }
}

#[test]
fn a_png_is_as_large_as_asked_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let net = "models/lenet/deploy.prototxt";
    let pictures = [path("a.png"), path("b.png"), path("large.png")];
    assert_eq!(draw(&[net, &pictures[0], "--scale", "1"]), Some(0));
    assert_eq!(draw(&[net, &pictures[1], "--scale", "1"]), Some(0));
    assert_eq!(draw(&[net, &pictures[2], "--scale", "2"]), Some(0));
    let [a, b, large] = pictures.map(|p| fs::read(p).unwrap());
    assert_eq!(a, b);
    let size = |bytes: &[u8]| {
        let image = image::load_from_memory(bytes).unwrap();
        (image.width(), image.height())
    };
    let ((w, h), (w2, h2)) = (size(&a), size(&large));
    assert!(w2.abs_diff(2 * w) <= 2 && h2.abs_diff(2 * h) <= 2);
}

#[test]
fn a_net_with_mistakes_is_drawn_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let net = path("net.prototxt");
    fs::write(
        Path::new(&net),
        "layer { name: 'a <&>' type: 'Wombat' top: 'x' } layer { name: 'b' type: 'ReLU' bottom: 'y' top: 'z' }",
    )
    .unwrap();
    assert_eq!(draw(&[&net, &path("net.svg"), &path("net.png")]), Some(0));
    assert!(fs::read_to_string(path("net.svg")).unwrap().contains("a &lt;&amp;&gt;"));
    assert_eq!(draw(&[&net, &path("net.bmp")]), Some(2));
}
