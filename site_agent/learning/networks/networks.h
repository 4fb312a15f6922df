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
// unet3d           1.4  The same of volumes (Cicek et al. 2016), every 3x3, 2x2 and 1x1 with a
// third
//                       dimension; the same names. Depth, height and width are multiples of 8.
// fcos            12.1  torchvision's (Tian et al. 2019) on a smaller pyramid: backbone.body.* is
//                       resnet18 without fc; backbone.fpn.inner_blocks.N.0 (1x1) and
//                       .layer_blocks.N.0 (3x3), with bias, of w channels (plan's width, 64), from
//                       layer2, 3 and 4, of strides 8, 16, 32 (torchvision has 256 channels, and
//                       two strides more of extra_blocks); head.classification_head.conv.0, .1, .3
//                       ... .10: 3x3 with bias and group norm in turns, ReLU after each; then
//                       .cls_logits; head.regression_head.conv.*, .bbox_reg, .bbox_ctrness. Gives
//                       N x places x (kinds + 4 + 1): first the places of stride 8, row by row,
//                       then 16, 32; of each the logit of each kind, the logarithms of its
//                       distances in strides to the left, upper, right and lower edge (torchvision:
//                       the distances, cut off at 0), the logit of centre-ness. The place of stride
//                       s in column i and row j is at ((i + 1/2) s, (j + 1/2) s). Groups of the
//                       head: the greatest common divisor of 32 and w. Sizes are multiples of 32.
// spectrogram_cnn  0.1  blocks.0 .. blocks.3 of 16, 32, 64, 128 channels: .conv (3x3), .norm (8
//                       groups), ReLU, and after the first three a 2x2 max pool; the mean over the
//                       bands, then of time the mean and the maximum, added (as of PANNs, Kong et
//                       al. 2020); fc 128 -> n. 8 bands and 16 frames or more; c = 1.
// logistic              linear, of a table's inputs.
// mlp                   layers.0 .. layers.N (linear), ReLU and, in training, dropout between.
//                       Both begin with prepare.mean and prepare.deviation where the table has
//                       numbers: not trained, one element a number; a missing one becomes the mean.
//
// Of an image classifier with a table beside it: prepare.* as of tables, then image.* without its
// last linear layer, columns (linear, of the table's inputs to 32, then ReLU), fc, of the image's
// features and these 32.
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
std::unique_ptr<Network> MakeFcos(const plan::Plan& plan);
std::unique_ptr<Network> MakeUnet3d(const plan::Plan& plan);
std::unique_ptr<Network> MakeSpectrogramCnn(const plan::Plan& plan);
// `image`: the plan's classifier of images.
std::unique_ptr<Network> MakeFusion(const plan::Plan& plan, std::unique_ptr<Network> image);
std::unique_ptr<Network> MakeTableNetwork(const plan::Plan& plan);  // kLogistic, kMlp

}  // namespace consilium::learning
