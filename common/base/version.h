#pragma once

namespace consilium {

inline constexpr char kVersion[] = "0.3.0";
// Raised when the messages between programs change so that older programs cannot follow.
inline constexpr int kProtocolVersion = 3;

}  // namespace consilium
