#include "datasets/deidentification/head_words.h"

#include <algorithm>
#include <array>
#include <string>

namespace consilium::datasets::deidentification {
namespace {

constexpr std::array<std::string_view, 26> kHeadWords = {
    "head",     "brain",    "skull",   "face",    "facial",   "orbit",     "orbits",
    "orbita",   "sinus",    "sinuses", "cranial", "cranium",  "neuro",     "cerebral",
    "cerebrum", "headneck", "jaw",     "maxilla", "mandible", "pituitary", "sella",
    "kopf",     "schaedel", "crane",   "cerebro", "encephale"};

}  // namespace

bool SpeaksOfHead(std::string_view text) {
  std::string word;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      word += static_cast<char>(c | 0x20);
    } else {
      if (std::find(kHeadWords.begin(), kHeadWords.end(), word) != kHeadWords.end()) return true;
      word.clear();
    }
  }
  return false;
}

}  // namespace consilium::datasets::deidentification
