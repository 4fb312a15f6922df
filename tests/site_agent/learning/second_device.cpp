#include "tests/site_agent/learning/second_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/FakeGuardImpl.h>
#include <torch/library.h>

namespace consilium::learning {
namespace {

C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::FakeGuardImpl<c10::kPrivateUse1>);

class Memory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) const override {
    c10::DataPtr data = c10::GetCPUAllocator()->allocate(bytes);
    data.unsafe_set_device(kSecondDevice);
    return data;
  }
};

Memory memory;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

bool IsHere(const at::Tensor& tensor) { return tensor.device() == kSecondDevice; }

// The same memory as a tensor of the processor; others are what they are. An empty one has memory
// of its own: an operator may give it a size.
at::Tensor OnProcessor(const at::Tensor& tensor) {
  if (!tensor.defined() || !IsHere(tensor)) return tensor;
  if (tensor.numel() == 0) return at::empty(tensor.sizes(), tensor.scalar_type());
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()));
}

at::Tensor Here(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(kSecondDevice) : tensor;
}

// ---- any operator: the processor's, on the same memory

// What an operator's arguments are: those of here, and what they are to the processor.
class Arguments {
 public:
  explicit Arguments(const c10::OperatorHandle& op) : op_(op) {}

  c10::IValue Turned(const c10::IValue& value) {
    if (value.isTensor()) return Turned(value.toTensor());
    if (value.isTensorList()) {
      std::vector<at::Tensor> turned;
      for (const at::Tensor& tensor : value.toTensorVector()) turned.push_back(Turned(tensor));
      return c10::IValue(turned);
    }
    if (!value.isOptionalTensorList()) return value;
    c10::List<c10::optional<at::Tensor>> turned;
    for (const c10::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      turned.push_back(tensor ? c10::optional<at::Tensor>(Turned(*tensor)) : c10::nullopt);
    }
    return c10::IValue(turned);
  }

  // An argument that was written to, or a new tensor of this device.
  c10::IValue Returned(const c10::IValue& value) const {
    if (!value.isTensor() || !value.toTensor().defined()) return value;
    for (const auto& [here, processors] : turned_) {
      if (!processors.is_same(value.toTensor())) continue;
      if (processors.numel() != here.numel()) {
        here.unsafeGetTensorImpl()->shallow_copy_from(Here(processors).getIntrusivePtr());
      }
      return here;
    }
    return Here(value.toTensor());
  }

 private:
  at::Tensor Turned(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    TORCH_CHECK(IsHere(tensor) || tensor.dim() == 0, op_.operator_name(),
                " got a tensor of the processor beside one of another device");
    turned_.emplace_back(tensor, OnProcessor(tensor));
    return turned_.back().second;
  }

  const c10::OperatorHandle& op_;
  std::vector<std::pair<at::Tensor, at::Tensor>> turned_;
};

void OnTheProcessor(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  for (const c10::Argument& given : op.schema().returns()) {
    TORCH_CHECK(given.alias_info() == nullptr || given.alias_info()->isWrite(), op.operator_name(),
                " gives a view, which needs a kernel of its own here");
  }
  Arguments arguments(op);
  const std::size_t taken = op.schema().arguments().size();
  for (std::size_t i = stack->size() - taken; i < stack->size(); ++i) {
    (*stack)[i] = arguments.Turned((*stack)[i]);
  }
  op.callBoxed(stack);
  const std::size_t given = op.schema().returns().size();
  for (std::size_t i = stack->size() - given; i < stack->size(); ++i) {
    (*stack)[i] = arguments.Returned((*stack)[i]);
  }
}

// ---- what cannot go that way

at::Tensor Empty(c10::IntArrayRef size, c10::optional<c10::ScalarType> type,
                 c10::optional<c10::Layout>, c10::optional<c10::Device>, c10::optional<bool>,
                 c10::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, type.value_or(at::kFloat), format);
}

at::Tensor EmptyStrided(c10::IntArrayRef size, c10::IntArrayRef strides,
                        c10::optional<c10::ScalarType> type, c10::optional<c10::Layout>,
                        c10::optional<c10::Device>, c10::optional<bool>) {
  return at::detail::empty_strided_generic(size, strides, &memory, kKeys,
                                           type.value_or(at::kFloat));
}

at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool) {
  OnProcessor(to).copy_(OnProcessor(from));
  return to;
}

at::Tensor Convolve(const at::Tensor& input, const at::Tensor& weight,
                    const c10::optional<at::Tensor>& bias, c10::IntArrayRef stride,
                    c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
                    c10::IntArrayRef output_padding, std::int64_t groups) {
  TORCH_CHECK(IsHere(input) && IsHere(weight), "a convolution of tensors on two devices");
  const auto bias_there = bias ? c10::optional<at::Tensor>(OnProcessor(*bias)) : c10::nullopt;
  return Here(at::convolution(OnProcessor(input), OnProcessor(weight), bias_there, stride, padding,
                              dilation, transposed, output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ConvolveBack(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight,
    c10::IntArrayRef stride, c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
    c10::IntArrayRef output_padding, std::int64_t groups, std::array<bool, 3> wanted) {
  const std::int64_t outputs = gradient.size(1);
  const auto back =
      at::convolution_backward(OnProcessor(gradient), OnProcessor(input), OnProcessor(weight),
                               c10::OptionalIntArrayRef(c10::IntArrayRef(outputs)), stride, padding,
                               dilation, transposed, output_padding, groups, wanted);
  return {Here(std::get<0>(back)), Here(std::get<1>(back)), Here(std::get<2>(back))};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&OnTheProcessor>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", TORCH_FN(Empty));
  library.impl("empty_strided", TORCH_FN(EmptyStrided));
  library.impl("_copy_from", TORCH_FN(CopyFrom));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("unfold", TORCH_FN(at::native::unfold));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("convolution_overrideable", TORCH_FN(Convolve));
  library.impl("convolution_backward_overrideable", TORCH_FN(ConvolveBack));
}

}  // namespace
}  // namespace consilium::learning
