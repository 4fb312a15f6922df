#include "coordinator/summation.h"

#include <sys/mman.h>

#include <new>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/model/quantizer.h"
#include "common/secagg/masking.h"
#include "coordinator/exact_sum.h"

namespace consilium::coordinator {
namespace {

class ClearSummation final : public Summation {
 public:
  explicit ClearSummation(std::uint64_t parameters) : sum_(parameters) {}

  absl::Status Add(std::uint64_t first, ByteView values, double scaled_weight) override {
    return sum_.Add(first, NumbersOf<float>(values), scaled_weight);
  }
  void Subtract(std::uint64_t first, ByteView values, double scaled_weight) override {
    sum_.Subtract(first, NumbersOf<float>(values), scaled_weight);
  }
  absl::StatusOr<Mean> OpenMean(double total_weight, const Unmasking*) const override {
    return [this, total_weight](std::uint64_t first, std::span<double> mean) {
      sum_.Mean(first, total_weight, mean);
      return absl::OkStatus();
    };
  }

 private:
  ExactSum sum_;
};

class MaskedSummation final : public Summation {
 public:
  explicit MaskedSummation(std::uint64_t parameters) : size_(parameters) {
    if (parameters == 0) return;
    // From mmap rather than new: zero pages come when they are first written and go back whole.
    void* memory = mmap(nullptr, Bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    sum_ = static_cast<std::uint32_t*>(memory);
  }
  ~MaskedSummation() override {
    if (sum_ != nullptr) munmap(sum_, Bytes());
  }

  absl::Status Add(std::uint64_t first, ByteView values, double) override {
    const auto piece = NumbersOf<std::uint32_t>(values);
    secagg::Add(Piece(first, piece.size()), piece);
    return absl::OkStatus();
  }
  void Subtract(std::uint64_t first, ByteView values, double) override {
    const auto piece = NumbersOf<std::uint32_t>(values);
    secagg::Subtract(Piece(first, piece.size()), piece);
  }
  absl::StatusOr<Mean> OpenMean(double, const Unmasking* unmasking) const override {
    ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(unmasking->masks, size_));
    // Shared: a std::function can be copied.
    const auto own = std::make_shared<std::pair<secagg::Masker, std::vector<std::uint32_t>>>(
        std::move(masker), std::vector<std::uint32_t>());
    return [this, own, unmasking](std::uint64_t first, std::span<double> mean) -> absl::Status {
      auto& [unmasker, opened] = *own;
      const auto piece = Piece(first, mean.size());
      opened.assign(piece.begin(), piece.end());
      RETURN_IF_ERROR(unmasker.AddToValues(first, opened));
      Dequantize(opened, unmasking->scale, unmasking->survivors_share, mean);
      return absl::OkStatus();
    };
  }

 private:
  std::uint64_t Bytes() const { return size_ * sizeof(std::uint32_t); }
  std::span<std::uint32_t> Piece(std::uint64_t first, std::size_t n) const {
    CONSILIUM_CHECK(first <= size_ && n <= size_ - first);
    return {sum_ + first, n};
  }

  const std::uint64_t size_;
  std::uint32_t* sum_ = nullptr;
};

}  // namespace

std::unique_ptr<Summation> SumInTheClear(std::uint64_t parameters) {
  return std::make_unique<ClearSummation>(parameters);
}

std::unique_ptr<Summation> SumMasked(std::uint64_t parameters) {
  return std::make_unique<MaskedSummation>(parameters);
}

}  // namespace consilium::coordinator
