#include "site_agent/learning/networks/torch_script.h"

#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "site_agent/learning/device.h"
#include "site_agent/learning/modules.h"
#include "site_agent/learning/torch_scope.h"

namespace consilium::learning {
namespace {

class ApprovedModules {
 public:
  void Add(std::string sha256, std::string file) {
    const std::lock_guard lock(mutex_);
    files_.try_emplace(std::move(sha256), std::make_shared<const std::string>(std::move(file)));
  }
  std::shared_ptr<const std::string> Find(std::string_view sha256) const {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(sha256);
    return found == files_.end() ? nullptr : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> files_;
};

ApprovedModules& Approved() {
  static ApprovedModules modules;
  return modules;
}

torch::jit::Module LoadModule(std::string_view file, at::Device device) {
  std::istringstream bytes{std::string(file)};
  return torch::jit::load(bytes, device);
}

std::string ShapeText(const at::Tensor& tensor) {
  return tensor.dim() == 0 ? "scalar" : absl::StrJoin(tensor.sizes(), "x");
}

// What would go wrong later, said now.
absl::Status CheckTensors(const torch::jit::Module& module) {
  std::set<const void*> seen;
  bool trains = false;
  for (const auto& parameter : module.named_parameters()) {
    if (parameter.value.scalar_type() != at::kFloat) {
      return absl::InvalidArgumentError(
          StrCat("parameter ", parameter.name, " is not float32: call .float() before the export"));
    }
    if (parameter.value.numel() > 0 && !seen.insert(parameter.value.data_ptr()).second) {
      return absl::InvalidArgumentError(
          StrCat("parameter ", parameter.name,
                 " shares its values with another: tied weights cannot travel by name"));
    }
    trains = trains || parameter.value.requires_grad();
  }
  if (!trains) {
    return absl::InvalidArgumentError(
        "the module has no parameter with requires_grad: there is nothing to train");
  }
  return absl::OkStatus();
}

class TorchScriptNetwork final : public Network {
 public:
  explicit TorchScriptNetwork(torch::jit::Module module) : module_(std::move(module)) {
    for (const auto& parameter : module_.named_parameters()) {
      Adopt(parameter.name, parameter.value, parameter.value.requires_grad());
    }
    for (const auto& buffer : module_.named_buffers()) Adopt(buffer.name, buffer.value, false);
  }

  at::Tensor Forward(const at::Tensor& input, bool training) override {
    // Runs the code as it is written: the optimising executor compiles anew for every batch size,
    // and not always to the same bits.
    const torch::jit::GraphOptimizerEnabledGuard as_written(false);
    if (module_.is_training() != training) SetTraining(training);
    std::vector<c10::IValue> inputs;
    inputs.emplace_back(input);
    const at::Tensor output = module_.forward(std::move(inputs)).toTensor();
    return output.dim() == 2 && output.size(1) == 1 ? output.squeeze(1) : output;
  }

 private:
  // What the plan has frozen runs as in evaluation.
  void SetTraining(bool training) {
    module_.train(training);
    if (!training || !freezes()) return;
    for (auto child : module_.named_modules()) {
      const auto parameters = child.value.parameters(/*recurse=*/false);
      bool trained = parameters.size() == 0;
      for (const auto& parameter : parameters) trained = trained || parameter.requires_grad();
      if (!trained) child.value.train(false);
    }
  }

  torch::jit::Module module_;
};

torch::jit::Module Load(const plan::Plan& plan) {
  const std::shared_ptr<const std::string> file = Approved().Find(plan.model.module);
  if (file == nullptr) {
    throw std::runtime_error(
        StrCat("the network ", plan.model.module.substr(0, 12),
               " is not among this site's approved modules: see consilium-site network --help"));
  }
  return LoadModule(*file, StepDevice());
}

}  // namespace

void ApproveModule(std::string sha256, std::string file) {
  Approved().Add(std::move(sha256), std::move(file));
}

bool IsApproved(std::string_view sha256) { return Approved().Find(sha256) != nullptr; }

absl::StatusOr<ModuleDescription> DescribeModule(std::string_view file) {
  return WithTorch("reading the module", [&]() -> absl::StatusOr<ModuleDescription> {
    const torch::jit::Module module = LoadModule(file, at::kCPU);
    RETURN_IF_ERROR(CheckTensors(module));
    ModuleDescription description;
    for (const auto& parameter : module.named_parameters()) {
      auto& count = parameter.value.requires_grad() ? description.parameters : description.frozen;
      count += static_cast<std::uint64_t>(parameter.value.numel());
      description.tensors.push_back(StrCat(parameter.name, " ", ShapeText(parameter.value)));
    }
    for (const auto& buffer : module.named_buffers()) {
      description.buffers += static_cast<std::uint64_t>(buffer.value.numel());
      description.tensors.push_back(StrCat(buffer.name, " ", ShapeText(buffer.value)));
    }
    description.code = module.dump_to_str(/*print_method_bodies=*/true, /*print_attr_values=*/false,
                                          /*print_param_values=*/false);
    return description;
  });
}

absl::Status CheckModule(const plan::Plan& plan) {
  if (!IsApproved(plan.model.module)) {
    return absl::FailedPreconditionError(
        StrCat("the network ", plan.model.module, " is not among this site's approved modules"));
  }
  return WithTorch("trying the module", [&]() -> absl::Status {
    const c10::InferenceMode no_gradients;
    torch::jit::Module module = Load(plan);
    RETURN_IF_ERROR(CheckTensors(module));
    TorchScriptNetwork network(std::move(module));
    const std::int64_t size = plan.preprocessing.image_size, outputs = OutputsOf(plan);
    const bool table = plan.data.source == plan::Source::kTable;
    const bool recordings = plan.data.source == plan::Source::kAudio;
    const at::Tensor input = table ? at::zeros({2, static_cast<std::int64_t>(plan.table.Inputs())})
                             : recordings ? at::zeros({2, 1, plan.audio.bands, plan.audio.Frames()})
                                          : at::zeros({2, ChannelsOf(plan), size, size});
    std::vector<std::int64_t> needed = {2};
    const bool segments = plan.target.task == Task::kSegmentation;
    if (outputs > 1 || segments) needed.push_back(outputs);
    if (segments) needed.insert(needed.end(), {size, size});
    const at::Tensor output = network.Forward(input.to(StepDevice()), /*training=*/false);
    if (output.sizes().vec() != needed || output.scalar_type() != at::kFloat) {
      return absl::InvalidArgumentError(
          StrCat("of an input ", ShapeText(input), " the module made ", ShapeText(output),
                 output.scalar_type() == at::kFloat ? "" : ", not in float32", "; this plan needs ",
                 absl::StrJoin(needed, "x"), " logits"));
    }
    return absl::OkStatus();
  });
}

std::unique_ptr<Network> MakeTorchScriptNetwork(const plan::Plan& plan) {
  return std::make_unique<TorchScriptNetwork>(Load(plan));
}

absl::StatusOr<ModelState> TorchScriptInitialModel(const plan::Plan& plan) {
  return WithTorch("making the first model", [&] { return MakeTorchScriptNetwork(plan)->Save(); });
}

}  // namespace consilium::learning
