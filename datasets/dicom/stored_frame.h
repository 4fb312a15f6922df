#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "datasets/dicom/header.h"

namespace consilium::datasets::dicom {

enum class SampleType { kUint8, kInt8, kUint16, kInt16, kUint32, kInt32, kFloat32, kFloat64 };
std::size_t SizeOf(SampleType type);  // bytes

// One frame's stored values (PS3.3 C.7.6.3): of each sample the bits up to the high bit,
// sign-extended, before any LUT and colour conversion. Samples of a pixel lie side by side whatever
// the file's planar configuration, chrominance that the file stores for two pixels is given to
// both, and a component transform of JPEG 2000 is undone (then `photometric` says RGB). Bits of a
// one-bit image are values of a byte each.
struct StoredFrame {
  std::uint32_t rows = 0, columns = 0;
  int samples = 1;
  Photometric photometric = Photometric::kMonochrome2;
  SampleType type = SampleType::kUint8;
  Bytes bytes;  // rows * columns * samples of `type`, little endian, row by row from the top left

  std::size_t size() const {
    return std::size_t{rows} * columns * static_cast<std::size_t>(samples);
  }

  // Calls visit(T{}) with the C++ type of the samples.
  template <class Function>
  auto WithType(Function visit) const;
  template <class T>  // T must be the type
  T At(std::size_t i) const {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  }
  // All of them, converted as static_cast does: int32_t holds all but kUint32 and the floats.
  template <class Out>
  std::vector<Out> As() const;
};

// `raw` as the file holds a frame: samples of bits_allocated bits, bits packed from the least
// significant on. `native` samples follow the header's planar configuration and subsampling, those
// of decoders do not; `big_endian` says their order. `raw` has the size that the header asks for.
StoredFrame ToStored(const Header& header, Bytes raw, bool native, bool big_endian);

template <class Function>
auto StoredFrame::WithType(Function visit) const {
  switch (type) {
    case SampleType::kUint8:
      return visit(std::uint8_t{});
    case SampleType::kInt8:
      return visit(std::int8_t{});
    case SampleType::kUint16:
      return visit(std::uint16_t{});
    case SampleType::kInt16:
      return visit(std::int16_t{});
    case SampleType::kUint32:
      return visit(std::uint32_t{});
    case SampleType::kInt32:
      return visit(std::int32_t{});
    case SampleType::kFloat32:
      return visit(float{});
    case SampleType::kFloat64:
      return visit(double{});
  }
  CONSILIUM_CHECK(false);
}

template <class Out>
std::vector<Out> StoredFrame::As() const {
  std::vector<Out> out(size());
  WithType([&](auto sample) {
    using T = decltype(sample);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Out>(At<T>(i));
  });
  return out;
}

}  // namespace consilium::datasets::dicom
