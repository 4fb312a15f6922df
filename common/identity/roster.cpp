#include "common/identity/roster.h"

namespace consilium::identity {

std::string_view Name(Role role) {
  switch (role) {
    case Role::kSite:
      return "site";
    case Role::kResearcher:
      return "researcher";
    case Role::kCoordinator:
      return "coordinator";
    case Role::kAuditor:
      return "auditor";
  }
  return "";
}

std::optional<Role> RoleNamed(std::string_view name) {
  for (const Role role : {Role::kSite, Role::kResearcher, Role::kCoordinator, Role::kAuditor}) {
    if (name == Name(role)) return role;
  }
  return std::nullopt;
}

}  // namespace consilium::identity
