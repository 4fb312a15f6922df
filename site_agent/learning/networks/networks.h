#pragma once

// Private to this folder and network.cpp: the families of networks. Which tensors they have is said
// in trainer.h.

#include <memory>

#include "site_agent/learning/network.h"

namespace consilium::learning {

std::unique_ptr<Network> MakeSmallCnn(const plan::Plan& plan);
// He et al. 2016: kResNet18, kResNet34 (basic blocks) and kResNet50 (bottlenecks).
std::unique_ptr<Network> MakeResNet(const plan::Plan& plan);
// Huang et al. 2017.
std::unique_ptr<Network> MakeDenseNet(const plan::Plan& plan);
// Tan and Le 2019, without stochastic depth and dropout.
std::unique_ptr<Network> MakeEfficientNet(const plan::Plan& plan);
std::unique_ptr<Network> MakeUnet(const plan::Plan& plan);
// kLogistic and kMlp.
std::unique_ptr<Network> MakeTableNetwork(const plan::Plan& plan);

}  // namespace consilium::learning
