// The lossless process of ITU-T T.81 (annex H): each sample is predicted from its neighbours and
// the difference is Huffman coded. DCMTK's decoder takes three times as long.

#include <array>
#include <cstring>
#include <vector>

#include "datasets/dicom/jpeg_stream.h"

namespace consilium::datasets::dicom {
namespace {

// A Huffman table (annex C) that looks up kFastBits bits at once, and where the bits of the
// difference follow within them, the difference too.
class DifferenceTable {
 public:
  struct Fast {
    std::uint8_t bits = 0;      // of the code, and of the difference when it is known; 0: longer
    std::uint8_t category = 0;  // how many bits the difference has (annex H.1.2.2)
    bool complete = false;
    std::int16_t difference = 0;
  };
  static constexpr int kFastBits = 12;
  static constexpr int kLongestCode = 16;

  // `counts` of codes of each length, then their categories. False: no such table can be.
  bool Define(const std::uint8_t* counts, ByteView categories) {
    fast_.assign(std::size_t{1} << kFastBits, {});
    std::uint32_t code = 0;
    std::size_t next = 0;
    for (int length = 1; length <= kLongestCode; ++length) {
      first_code_[length] = code;
      first_index_[length] = next;
      for (int i = 0; i < counts[length - 1]; ++i, ++code, ++next) {
        if (next >= categories.size() || categories[next] > 16 || code >> length != 0) return false;
        categories_[next] = categories[next];
        if (length <= kFastBits) FillFast(code, length, categories[next]);
      }
      end_code_[length] = code;
      code <<= 1;
    }
    return next > 0;
  }

  bool defined() const { return !fast_.empty(); }
  const Fast& LookUp(std::uint32_t top_bits) const { return fast_[top_bits]; }

  // For codes longer than kFastBits: `top` holds 16 bits. -1: no such code.
  int SlowCategory(std::uint32_t top, int* length) const {
    for (int n = kFastBits + 1; n <= kLongestCode; ++n) {
      const std::uint32_t code = top >> (kLongestCode - n);
      if (code < end_code_[n] && code >= first_code_[n]) {
        *length = n;
        return categories_[first_index_[n] + (code - first_code_[n])];
      }
    }
    return -1;
  }

  // T.81 table H.2 and figure F.12: values of the upper half are positive.
  static int Extend(std::uint32_t bits, int category) {
    if (category == 0) return 0;
    const auto value = static_cast<int>(bits);
    return value < (1 << (category - 1)) ? value - (1 << category) + 1 : value;
  }

 private:
  void FillFast(std::uint32_t code, int length, std::uint8_t category) {
    const int free = kFastBits - length;
    for (std::uint32_t rest = 0; rest < (1u << free); ++rest) {
      Fast& entry = fast_[(code << free) | rest];
      entry.category = category;
      entry.complete = category <= free && category < 16;
      entry.bits = static_cast<std::uint8_t>(length + (entry.complete ? category : 0));
      if (entry.complete) {
        entry.difference = static_cast<std::int16_t>(Extend(rest >> (free - category), category));
      }
    }
  }

  std::vector<Fast> fast_;
  std::array<std::uint32_t, kLongestCode + 1> first_code_{}, end_code_{};
  std::array<std::size_t, kLongestCode + 1> first_index_{};
  std::array<std::uint8_t, 256> categories_{};
};

// Entropy-coded bits: a zero byte after 0xff is stuffing, any other is a marker and ends them
// (B.1.1.5). Past the end there are zeros, which `overrun` counts.
class EntropyBits {
 public:
  explicit EntropyBits(ByteView bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  void Refill() {
    if (count_ > 32) return;
    if (end_ - at_ >= 4) {
      std::uint32_t four;
      std::memcpy(&four, at_, 4);
      const bool stuffed = ((~four - 0x01010101u) & four & 0x80808080u) != 0;  // one is 0xff
      if (!stuffed) {
        buffer_ |= std::uint64_t{__builtin_bswap32(four)} << (32 - count_);
        count_ += 32;
        at_ += 4;
        return;
      }
    }
    while (count_ <= 56) {
      std::uint64_t byte = 0;
      if (at_ >= end_ || (*at_ == 0xff && (at_ + 1 >= end_ || at_[1] != 0))) {
        ++overrun_;
      } else {
        byte = *at_;
        at_ += byte == 0xff ? 2 : 1;
      }
      buffer_ |= byte << (56 - count_);
      count_ += 8;
    }
  }
  // After Refill, up to 32 bits.
  std::uint32_t Top(int bits) const { return static_cast<std::uint32_t>(buffer_ >> (64 - bits)); }
  void Skip(int bits) {
    buffer_ <<= bits;
    count_ -= bits;
  }
  // More was taken than there is.
  bool Exhausted() const { return overrun_ * 8 > count_; }
  // Drops what is left of a byte and the marker that follows; false when it is none of RST0 to
  // RST7.
  bool NextRestart() {
    if (Exhausted()) return false;
    // Whole bytes that were read ahead stand before the marker only in a damaged stream.
    while (at_ + 1 < end_ && !(at_[0] == 0xff && at_[1] >= 0xd0 && at_[1] <= 0xd7)) ++at_;
    if (at_ + 1 >= end_) return false;
    at_ += 2;
    buffer_ = 0;
    count_ = 0;
    overrun_ = 0;
    return true;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::uint64_t buffer_ = 0;
  int count_ = 0;
  int overrun_ = 0;
};

// The next difference (H.1.2.2); false when no code fits.
inline bool ReadDifference(EntropyBits& bits, const DifferenceTable& table, int* difference) {
  bits.Refill();
  const DifferenceTable::Fast& fast = table.LookUp(bits.Top(DifferenceTable::kFastBits));
  if (fast.complete) {
    bits.Skip(fast.bits);
    *difference = fast.difference;
    return true;
  }
  int length = fast.bits, category = fast.category;
  if (length == 0) category = table.SlowCategory(bits.Top(16), &length);
  if (category < 0) return false;
  bits.Skip(length);
  if (category == 16) {
    *difference = 32768;
    return true;
  }
  if (category == 0) {
    *difference = 0;
    return true;
  }
  *difference = DifferenceTable::Extend(bits.Top(category), category);
  bits.Skip(category);
  return true;
}

// Table H.1.
inline int Predict(int predictor, int left, int above, int corner) {
  switch (predictor) {
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return corner;
    case 4:
      return left + above - corner;
    case 5:
      return left + ((above - corner) >> 1);
    case 6:
      return above + ((left - corner) >> 1);
    default:
      return (left + above) >> 1;
  }
}

class LosslessDecoder {
 public:
  LosslessDecoder(ByteView stream, const JpegFrameHeader& header)
      : stream_(stream),
        header_(header),
        components_(static_cast<std::size_t>(header.components)),
        samples_(std::size_t{header.rows} * header.columns * components_) {}

  bool Decode() {
    std::size_t at = 2;
    while (at + 4 <= stream_.size()) {
      if (stream_[at] != 0xff || stream_[at + 1] == 0xff || stream_[at + 1] == 0) {
        ++at;  // what is left of a scan, or fill bytes
        continue;
      }
      const std::uint8_t marker = stream_[at + 1];
      if (marker == 0xd9) break;
      if (marker >= 0xd0 && marker <= 0xd7) {
        at += 2;
        continue;
      }
      const std::size_t length = stream_[at + 2] << 8 | stream_[at + 3];
      if (length < 2 || length > stream_.size() - at - 2) return false;
      const ByteView segment = stream_.subspan(at + 4, length - 2);
      at += 2 + length;
      const bool sound = marker == 0xc3   ? ReadFrame(segment)
                         : marker == 0xc4 ? ReadTables(segment)
                         : marker == 0xdd ? ReadRestartInterval(segment)
                         : marker == 0xda ? ReadScan(segment, stream_.subspan(at))
                                          : true;
      if (!sound) return false;
      if (decoded_.size() == components_) return true;
    }
    return false;
  }

  const std::vector<std::uint16_t>& samples() const { return samples_; }

 private:
  struct Component {
    std::size_t index = 0;
    const DifferenceTable* table = nullptr;
  };

  bool ReadFrame(ByteView segment) {
    if (segment.size() < 6 + 3 * components_ || !ids_.empty()) return false;
    for (std::size_t i = 0; i < components_; ++i) {
      ids_.push_back(segment[6 + 3 * i]);
      const std::uint8_t sampling = segment[6 + 3 * i + 1];
      const bool alone = components_ == 1;  // then its sampling factors say nothing
      if (sampling != segment[7] || sampling == 0 || (!alone && sampling != 0x11)) return false;
    }
    return true;
  }

  bool ReadTables(ByteView segment) {
    while (segment.size() >= 17) {
      const int destination = segment[0] & 0x0f;
      std::size_t count = 0;
      for (int i = 1; i <= 16; ++i) count += segment[static_cast<std::size_t>(i)];
      if (destination > 3 || count > 256 || segment.size() < 17 + count) return false;
      if (!tables_[destination].Define(segment.data() + 1, segment.subspan(17, count)))
        return false;
      segment = segment.subspan(17 + count);
    }
    return segment.empty();
  }

  bool ReadRestartInterval(ByteView segment) {
    if (segment.size() < 2) return false;
    restart_interval_ = static_cast<std::size_t>(segment[0] << 8 | segment[1]);
    return true;
  }

  bool ReadScan(ByteView segment, ByteView rest) {
    const std::size_t count = segment.empty() ? 0 : segment[0];
    if (count == 0 || count > components_ || ids_.empty() || segment.size() < 4 + 2 * count) {
      return false;
    }
    std::vector<Component> scanned;
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t index = 0;
      while (index < components_ && ids_[index] != segment[1 + 2 * i]) ++index;
      const int table = segment[2 + 2 * i] >> 4;
      if (index == components_ || table > 3 || !tables_[table].defined()) return false;
      for (const std::size_t before : decoded_) {
        if (before == index) return false;
      }
      decoded_.push_back(index);
      scanned.push_back({index, &tables_[table]});
    }
    predictor_ = segment[1 + 2 * count];
    transform_ = segment[3 + 2 * count] & 0x0f;
    if (predictor_ < 1 || predictor_ > 7 || transform_ >= header_.precision) return false;
    if (restart_interval_ % header_.columns != 0) return false;  // H.1.1: whole lines
    return DecodeScan(scanned, EntropyBits(rest));
  }

  bool DecodeScan(const std::vector<Component>& scanned, EntropyBits bits) {
    const std::size_t restart_rows = restart_interval_ / header_.columns;
    bool restarted = true;
    for (std::size_t row = 0; row < header_.rows; ++row) {
      if (restart_rows > 0 && row > 0 && row % restart_rows == 0) {
        if (!bits.NextRestart()) return false;
        restarted = true;
      }
      const bool alone = components_ == 1;
      const bool sound = alone ? DecodeLine<1>(scanned, row, restarted, bits)
                               : DecodeLine<0>(scanned, row, restarted, bits);
      if (!sound || bits.Exhausted()) return false;
      restarted = false;
    }
    return true;
  }

  // kStride: samples a pixel when known.
  template <std::size_t kStride>
  bool DecodeLine(const std::vector<Component>& scanned, std::size_t row, bool restarted,
                  EntropyBits& bits) {
    const std::size_t stride = kStride == 0 ? components_ : kStride;
    const std::size_t line = header_.columns * stride;
    std::uint16_t* const out = samples_.data() + row * line;
    const std::uint16_t* const above = out - (restarted ? 0 : line);
    int difference = 0;
    for (const Component& component : scanned) {
      const int start =
          restarted ? 1 << (header_.precision - transform_ - 1) : above[component.index];
      if (!ReadDifference(bits, *component.table, &difference)) return false;
      out[component.index] = static_cast<std::uint16_t>(start + difference);
    }
    if (scanned.size() > 1 || kStride == 0) {
      for (std::size_t x = stride; x < line; x += stride) {
        for (const Component& component : scanned) {
          if (!ReadDifference(bits, *component.table, &difference)) return false;
          const std::size_t at = x + component.index;
          const int guess =
              restarted ? out[at - stride]
                        : Predict(predictor_, out[at - stride], above[at], above[at - stride]);
          out[at] = static_cast<std::uint16_t>(guess + difference);
        }
      }
      return true;
    }
    return DecodeGreyLine(*scanned.front().table, restarted ? 1 : predictor_, out, above, bits);
  }

  bool DecodeGreyLine(const DifferenceTable& table, int predictor, std::uint16_t* out,
                      const std::uint16_t* above, EntropyBits& shared_bits) {
    EntropyBits bits = shared_bits;  // in registers
    int left = out[0], difference = 0;
    for (std::size_t x = 1; x < header_.columns; ++x) {
      if (!ReadDifference(bits, table, &difference)) return false;
      const int guess = predictor == 1 ? left : Predict(predictor, left, above[x], above[x - 1]);
      left = static_cast<std::uint16_t>(guess + difference);
      out[x] = static_cast<std::uint16_t>(left);
    }
    shared_bits = bits;
    return true;
  }

 public:
  int transform() const { return transform_; }

 private:
  const ByteView stream_;
  const JpegFrameHeader header_;
  const std::size_t components_;
  std::vector<std::uint16_t> samples_;
  std::vector<std::uint8_t> ids_;
  std::vector<std::size_t> decoded_;
  std::array<DifferenceTable, 4> tables_;
  std::size_t restart_interval_ = 0;
  int predictor_ = 1;
  int transform_ = 0;  // samples are shifted left by so many bits at the end (H.1.2.1, Pt)
};

}  // namespace

std::optional<Bytes> DecodeLosslessJpeg(ByteView stream, const JpegFrameHeader& header,
                                        int sample_bytes) {
  if (header.precision < 2 || header.precision > 8 * sample_bytes || header.components < 1 ||
      header.components > 4 || header.rows == 0 || header.columns == 0) {
    return std::nullopt;
  }
  LosslessDecoder decoder(stream, header);
  if (!decoder.Decode()) return std::nullopt;
  const std::vector<std::uint16_t>& samples = decoder.samples();
  const int shift = decoder.transform();
  Bytes out(samples.size() * static_cast<std::size_t>(sample_bytes));
  if (sample_bytes == 1) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      out[i] = static_cast<std::uint8_t>(samples[i] << shift);
    }
  } else {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const auto value = static_cast<std::uint16_t>(samples[i] << shift);
      std::memcpy(out.data() + 2 * i, &value, 2);
    }
  }
  return out;
}

}  // namespace consilium::datasets::dicom
