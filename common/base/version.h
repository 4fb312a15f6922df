#pragma once

namespace consilium {

inline constexpr char kVersion[] = "0.2.0";
// Raised when the messages between programs change so that older programs cannot follow.
inline constexpr int kProtocolVersion = 2;

}  // namespace consilium
