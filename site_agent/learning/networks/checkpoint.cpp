#include "site_agent/learning/networks/checkpoint.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace consilium::learning {
namespace {

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  // `parameter` makes the answer one that gradients go back through, though x may be an image.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& parameter, const std::shared_ptr<const Part>& part) {
    static_cast<void>(parameter);
    context->save_for_backward({x});
    context->saved_data["part"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(part));
    context->saved_data["x needs it"] = x.requires_grad();
    return (*part)(x);  // gradients are off within a Function
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto held = context->saved_data["part"].toCapsule();
    const Part& part = *static_cast<const Held&>(*held).part;
    const bool needs_gradient = context->saved_data["x needs it"].toBool();
    at::Tensor x = context->get_saved_variables()[0].detach();
    x.set_requires_grad(needs_gradient);
    const at::AutoGradMode on(true);
    // Parameters are leaves: their gradients are accumulated here, where the engine is entered
    // anew.
    torch::autograd::backward({part(x)}, {gradients[0]});
    return {needs_gradient ? x.grad() : at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  struct Held : torch::CustomClassHolder {
    explicit Held(std::shared_ptr<const Part> p) : part(std::move(p)) {}
    const std::shared_ptr<const Part> part;
  };
};

}  // namespace

at::Tensor Checkpointed(Part part, const at::Tensor& x, const at::Tensor& parameter) {
  if (!at::GradMode::is_enabled()) return part(x);
  return Recomputed::apply(x, parameter, std::make_shared<const Part>(std::move(part)));
}

}  // namespace consilium::learning
