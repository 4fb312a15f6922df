#pragma once

namespace consilium {

inline constexpr char kVersion[] = "0.1.0";
// Raised when the messages between programs change so that older programs cannot follow.
inline constexpr int kProtocolVersion = 1;

}  // namespace consilium
