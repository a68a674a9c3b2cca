#pragma once
// The tables of the journal: the deployed daemon's, opened as they are, older ones completed.

#include "core/journal/sqlite.hpp"

namespace gorgone::sqlite {

/// Creates what is missing; adds columns that older files lack. Alters nothing else.
void prepare_schema(Database& database);

}  // namespace gorgone::sqlite
