#pragma once

// Which tensors of a model are trained, and so travel from a site to the coordinator. The one place
// that decides it, for both ends: from the model's layout and the plan's [model] frozen.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"

namespace consilium {

// An update holds the elements of the tensors that travel, in layout order and nothing else: it is
// a vector of the layout Travelling::layout().
//
// Frozen is a tensor whose name begins with one of `frozen`, and the weight and bias of a layer
// that has adapters (adapters.h). The running statistics of a norm go with its weight.
class Travelling {
 public:
  // All tensors.
  explicit Travelling(const Layout& model);
  // kInvalidArgument, with the beginnings that the names have: one of `frozen` matches no tensor
  // that is trained; or nothing is left to train.
  static absl::StatusOr<Travelling> Of(const Layout& model, std::span<const std::string> frozen);

  bool all() const { return layout_.size() == travels_.size(); }
  // Whether tensor `index` of the model travels.
  bool Travels(std::size_t index) const { return travels_[index]; }
  const Layout& layout() const { return layout_; }    // what travels
  std::uint64_t size() const { return travelling_; }  // elements that travel
  std::uint64_t frozen() const { return elements_ - travelling_; }

  // Elements `first` on of the model, of which these travel, one after another in the update.
  struct Range {
    std::uint64_t model, update;  // where it begins in either
    std::uint64_t count;
  };
  // What of the model's elements [first, first + count) travels, in order.
  std::vector<Range> Within(std::uint64_t first, std::uint64_t count) const;

  // What travels of a model of this layout.
  absl::StatusOr<ModelState> Part(const ModelState& model) const;

 private:
  Travelling(const Layout& model, std::vector<bool> travels);

  std::vector<bool> travels_;  // by tensor
  Layout layout_;
  std::vector<Range> ranges_;  // neighbours are one
  std::uint64_t elements_ = 0, travelling_ = 0;
};

// Running statistics of a norm and a table's preparation: no gradient moves them.
bool IsStatistic(std::string_view tensor);

}  // namespace consilium
