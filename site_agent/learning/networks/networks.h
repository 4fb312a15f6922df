#pragma once

// Private to this folder and network.cpp: the families of networks, and the names of their tensors,
// which are those of a state dict in PyTorch. python/load_model.py has the same in plain PyTorch.
//
// c is 1 channel, 3 of plans with channel = "rgb"; n is the number of outputs (OutputsOf). Images
// may have any size unless a line says otherwise. Convolutions have no bias unless a line says so.
// Each norm NAME has NAME.weight and NAME.bias; batch norm also NAME.running_mean, NAME.running_var
// and NAME.num_batches_tracked. Millions of weights of c = n = 1 (unet: width 16, n = 3).
//
// small_cnn        0.1  conv1 .. conv4: 3x3, 16, 32, 64, 128 channels, each followed by norm1 ..
//                       norm4 (8 groups) and ReLU, the first three by a 2x2 max pool; the mean over
//                       the image; fc 128 -> n.
// resnet18        11.2  torchvision's (He et al. 2016; resnet50 with the stride in the 3x3
// resnet34        21.3  convolution): conv1, bn1, layer1.0.conv1 .. layer4.X.bn2 (resnet50: bn3),
// resnet50        23.5  layerN.0.downsample.0 and .1, fc. Group norm has 32 groups.
// densenet121      6.9  torchvision's (Huang et al. 2017): features.conv0, features.norm0,
//                       features.denseblock1.denselayer1.norm1 .. conv2, features.transition1.norm
//                       and .conv, features.norm5, classifier. 32 groups. Of 32 pixels or more.
// efficientnet_b0  4.0  torchvision's (Tan and Le 2019): features.0.0 (convolution), features.0.1
//                       (norm), features.1.0.block.0.0 ..., the squeeze's fc1 and fc2 with bias,
//                       features.8.0, features.8.1, classifier.1. 8 groups. Training has neither
//                       stochastic depth nor dropout, which the paper's has.
// unet             0.5  Ronneberger et al. 2015 with residual units, w (plan's width, 16) channels:
//                       encoder.0 .. encoder.3 of w, 2w, 4w, 8w channels, 2x2 max pools between;
//                       decoder.0 .. decoder.2 of 4w, 2w, w: .up doubles the size (transposed
//                       convolution 2x2 of stride 2, with bias), then the encoder's output of that
//                       size and it, in this order, are the unit's input; head: 1x1 with bias. A
//                       unit is conv1 (3x3), norm1, ReLU, conv2 (3x3), norm2, plus shortcut (1x1 of
//                       the input), ReLU. Groups: the greatest common divisor of 8 and the
//                       channels. Sizes are multiples of 8.
// logistic              linear, of a table's inputs.
// mlp                   layers.0 .. layers.N (linear), ReLU and, in training, dropout between.
//                       Both begin with prepare.mean and prepare.deviation where the table has
//                       numbers: not trained, one element a number; a missing one becomes the mean.
//
// First values: as torchvision's networks begin (convolutions normal, He et al. 2015), but every
// linear layer uniform within one by the root of its inputs; logistic at 0.

#include <memory>

#include "site_agent/learning/network.h"

namespace consilium::learning {

std::unique_ptr<Network> MakeSmallCnn(const plan::Plan& plan);
std::unique_ptr<Network> MakeResNet(const plan::Plan& plan);  // kResNet18, kResNet34, kResNet50
std::unique_ptr<Network> MakeDenseNet(const plan::Plan& plan);
std::unique_ptr<Network> MakeEfficientNet(const plan::Plan& plan);
std::unique_ptr<Network> MakeUnet(const plan::Plan& plan);
std::unique_ptr<Network> MakeTableNetwork(const plan::Plan& plan);  // kLogistic, kMlp

}  // namespace consilium::learning
