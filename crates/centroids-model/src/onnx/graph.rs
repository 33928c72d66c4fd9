//! The plan of a network → nodes and initialisers of an ONNX graph.

use safetensors::View;

use super::frozen_norm::FrozenNorm;
use super::proto::{Attribute, FLOAT, Graph, Node, Tensor, ValueInfo};
use super::{INPUT, OUTPUT};
use crate::Error;
use crate::backbone::{ConvNormLayer, Layer, Norm, Plan};
use crate::layers::{Activation, BatchNorm};
use crate::weights::{Array, to_array};

/// A graph in the making. A value is known by the name of the node that makes it.
pub(super) struct GraphBuilder {
    graph: Graph,
    keep_batch_norms: bool,
}

impl GraphBuilder {
    pub(super) fn new(keep_batch_norms: bool) -> GraphBuilder {
        GraphBuilder { graph: Graph::default(), keep_batch_norms }
    }

    /// Appends a network; returns its last map, `[n, c, h, w]`.
    pub(super) fn backbone(&mut self, plan: &Plan<'_>) -> Result<String, Error> {
        let mut maps = vec![INPUT.to_owned()];
        for layer in plan.layers() {
            maps.push(match layer {
                Layer::ConvNorm(layer) => self.conv_norm(layer, &maps)?,
                Layer::MaxPool { input, kernel, stride, padding } => {
                    let attributes = window([*kernel; 2], [*stride; 2], [*padding; 2]);
                    self.node("MaxPool", &[&maps[input.index()]], "maxpool", attributes)
                }
            });
        }
        Ok(maps.pop().unwrap_or_default())
    }

    /// Appends pooling, BNNeck and, if asked for, division by the length: `[n, c, h, w]` → `[n, c]`.
    pub(super) fn head(
        &mut self,
        map: &str,
        neck: &BatchNorm,
        normalize: bool,
    ) -> Result<(), Error> {
        let pooled = self.node("GlobalAveragePool", &[map], "avgpool", vec![]); // [n, c, 1, 1]
        let neck = self.batch_norm(&pooled, "bn", FrozenNorm::read(neck, "bn")?); // [n, c, 1, 1]
        if !normalize {
            self.node("Flatten", &[&neck], OUTPUT, vec![Attribute::int("axis", 1)]);
            return Ok(());
        }
        let flat = self.node("Flatten", &[&neck], "flatten", vec![Attribute::int("axis", 1)]);
        let row = vec![Attribute::ints("axes", [1]), Attribute::int("keepdims", 1)];
        let length = self.node("ReduceL2", &[&flat], "length", row); // [n, 1]
        let least = self.constant("length.min", 1e-12); // a zero row stays zero
        let length = self.node("Clip", &[&length, &least], "length.clip", vec![]);
        self.node("Div", &[&flat, &length], OUTPUT, vec![]);
        Ok(())
    }

    /// The graph from images of `[3, h, w]` to embeddings of `dim`.
    pub(super) fn finish(self, name: &str, image: [usize; 3], dim: usize) -> Graph {
        Graph {
            name: name.to_owned(),
            input: vec![ValueInfo::batch_of(INPUT, &image)],
            output: vec![ValueInfo::batch_of(OUTPUT, &[dim])],
            ..self.graph
        }
    }

    fn conv_norm(&mut self, layer: &ConvNormLayer<'_>, maps: &[String]) -> Result<String, Error> {
        let [_, name] = &layer.names;
        let input = &maps[layer.input.index()];
        let mut x = match &layer.norm {
            Norm::InstanceBatch { instance, batch } => {
                let x = self.conv(layer, input, None);
                let batch = FrozenNorm::read(batch, &format!("{name}.BN"))?;
                self.instance_batch_norm(&x, name, instance.clone().map(to_array), batch)
            }
            Norm::Batch(norm) => {
                let norm = FrozenNorm::read(norm, name)?;
                if self.keep_batch_norms {
                    let x = self.conv(layer, input, None);
                    self.batch_norm(&x, name, norm)
                } else {
                    self.conv(layer, input, Some(&norm))
                }
            }
        };
        if let Some(shortcut) = layer.shortcut {
            let inputs = [&x, &maps[shortcut.index()]];
            x = self.node("Add", &inputs.map(String::as_str), &format!("{name}.add"), vec![]);
        }
        Ok(match layer.activation {
            Activation::Identity => x,
            Activation::Relu => self.node("Relu", &[&x], &format!("{name}.relu"), vec![]),
            Activation::Relu6 => {
                let bounds = [self.constant("relu6.min", 0.0), self.constant("relu6.max", 6.0)];
                let inputs = [&x, &bounds[0], &bounds[1]];
                self.node("Clip", &inputs.map(String::as_str), &format!("{name}.relu6"), vec![])
            }
        })
    }

    /// A convolution, with `folded` in its weight and bias.
    fn conv(
        &mut self,
        layer: &ConvNormLayer<'_>,
        input: &str,
        folded: Option<&FrozenNorm>,
    ) -> String {
        let [name, _] = &layer.names;
        let how = layer.conv.convolution();
        let mut weight = to_array(layer.conv.weight.val()); // [out, in, k, k]
        let bias = folded.map(|norm| norm.fold_into(&mut weight));
        let kernel = [weight.shape[2], weight.shape[3]];
        let mut attributes = window(kernel, how.stride, how.padding);
        attributes.push(Attribute::int("group", if how.depthwise { weight.shape[0] } else { 1 }));
        let mut inputs = vec![input.to_owned(), self.tensor(format!("{name}.weight"), &weight)];
        inputs.extend(bias.map(|bias| self.tensor(format!("{name}.bias"), &bias)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node("Conv", &inputs, name, attributes)
    }

    fn batch_norm(&mut self, x: &str, name: &str, norm: FrozenNorm) -> String {
        let parts = norm.parts().map(|(part, array)| self.tensor(format!("{name}.{part}"), &array));
        let inputs = [x, &parts[0], &parts[1], &parts[2], &parts[3]];
        let attributes = vec![Attribute::float("epsilon", BatchNorm::EPSILON)];
        self.node("BatchNormalization", &inputs, name, attributes)
    }

    /// Halves the channels, normalises each half in its way, and joins them.
    fn instance_batch_norm(
        &mut self,
        x: &str,
        name: &str,
        [gamma, beta]: [Array; 2],
        batch: FrozenNorm,
    ) -> String {
        let axis = || vec![Attribute::int("axis", 1)];
        let halves = ["first", "second"].map(|half| format!("{name}.{half}"));
        self.node("Split", &[x], &format!("{name}.split"), axis());
        if let Some(split) = self.graph.node.last_mut() {
            split.output = halves.to_vec();
        }
        let gamma = self.tensor(format!("{name}.IN.weight"), &gamma);
        let beta = self.tensor(format!("{name}.IN.bias"), &beta);
        let epsilon = vec![Attribute::float("epsilon", BatchNorm::EPSILON)];
        let inputs = [halves[0].as_str(), &gamma, &beta];
        let first = self.node("InstanceNormalization", &inputs, &format!("{name}.IN"), epsilon);
        let second = self.batch_norm(&halves[1], &format!("{name}.BN"), batch);
        self.node("Concat", &[&first, &second], name, axis())
    }

    /// A number that several nodes may use.
    fn constant(&mut self, name: &str, value: f32) -> String {
        if self.graph.initializer.iter().all(|tensor| tensor.name != name) {
            self.tensor(name.to_owned(), &Array { shape: vec![], values: vec![value] });
        }
        name.to_owned()
    }

    fn tensor(&mut self, name: String, array: &Array) -> String {
        self.graph.initializer.push(Tensor {
            dims: array.shape.iter().map(|&size| size as i64).collect(),
            data_type: FLOAT,
            name: name.clone(),
            raw_data: View::data(&array).into_owned(),
        });
        name
    }

    /// Appends a node that makes one value, which has its name.
    fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        name: &str,
        attribute: Vec<Attribute>,
    ) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
        });
        name.to_owned()
    }
}

/// Attributes of a convolution or pooling.
fn window(kernel: [usize; 2], stride: [usize; 2], [top, left]: [usize; 2]) -> Vec<Attribute> {
    vec![
        Attribute::ints("kernel_shape", kernel),
        Attribute::ints("strides", stride),
        Attribute::ints("pads", [top, left, top, left]),
    ]
}
