#include "common/secagg/coordinator_session.h"
