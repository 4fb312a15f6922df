// What is not trained, or not trained together: frozen tensors, adapters, personal models.

#include <algorithm>

#include "common/plan/readers.h"

namespace consilium::plan {
namespace {

constexpr std::size_t kMostFrozen = 64, kLongestBeginning = 256;
constexpr std::int64_t kLargestRank = 64;

bool IsBeginning(std::string_view text) {
  return !text.empty() && text.size() <= kLongestBeginning &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

void ReadFrozen(Section& s, Model& model) {
  if (const auto frozen = s.Texts("frozen")) {
    if (frozen->empty() || frozen->size() > kMostFrozen) {
      s.Refuse("frozen", StrCat("lists ", frozen->size(), ": 1 to ", kMostFrozen,
                                " beginnings of tensors' names are allowed"));
    } else if (!std::all_of(frozen->begin(), frozen->end(), IsBeginning)) {
      s.Refuse("frozen", "holds what no tensor's name begins with: printable ASCII without space");
    } else {
      model.frozen = *frozen;
    }
  }
  const auto rank = s.Whole("adapter_rank", 0, kLargestRank);
  Set(model.adapter_rank, rank);
  for (const std::string_view key : {"frozen", "adapter_rank"}) {
    const bool asked = key == "frozen" ? s.Has(key) : rank.value_or(0) > 0;
    if (asked && !s.Has("initial")) {
      s.Refuse(key, "needs model.initial: what is not trained must come from somewhere");
    }
  }
  if (rank.value_or(0) == 0) return;
  if (model.architecture == Architecture::kTorchScript) {
    s.Refuse("adapter_rank", "does not suit \"torchscript\": put the adapters into the module");
  } else if (model.architecture == Architecture::kLogistic) {
    s.Refuse("adapter_rank", "does not suit \"logistic\": it has no layer but its last");
  }
}

void ReadPersonalisation(Section s, const Model& model, Personalisation& personalisation) {
  using Method = PersonalMethod;
  const auto method = s.Choice("method", {Method::kNone, Method::kLocalNorm, Method::kLocalHead,
                                          Method::kDitto, Method::kFineTuning});
  Set(personalisation.method, method);
  const bool known = method || !s.Has("method");
  const bool tables =
      model.architecture == Architecture::kMlp || model.architecture == Architecture::kLogistic;
  if (method == Method::kLocalNorm && tables) {
    s.Refuse("method", StrCat("does not suit \"", Name(model.architecture),
                              "\", which has no norms: use \"ditto\" or \"fine_tuning\""));
  }
  if (method == Method::kLocalHead && model.architecture == Architecture::kLogistic) {
    s.Refuse("method",
             "does not suit \"logistic\", which has no layer but its last: use \"ditto\" or "
             "\"fine_tuning\"");
  }
  Set(personalisation.epochs, s.Whole("epochs", 1, 1000));
  Set(personalisation.pull, s.Real("pull", 0, 100, Ends::kLowExcluded));
  if (known && personalisation.method == Method::kNone) {
    s.RefuseIfThere({"epochs", "pull"}, "without a method there is no personal model");
  } else if (known && personalisation.method != Method::kDitto && s.Has("pull")) {
    s.Refuse("pull", StrCat("has no effect with method \"", Name(personalisation.method),
                            "\": only \"ditto\" has it"));
  }
  s.Finish();
}

}  // namespace consilium::plan
