/* SPDX-License-Identifier: Apache-2.0 */
/* Shorthands for writing schema tables; for the schema_*.c files and other tables of this kind. */
#ifndef OCI_TABLES_H
#define OCI_TABLES_H

#include "oci/schema.h"

#define OBJECT(f)                                                                                  \
	{                                                                                          \
		.kind = OCI_OBJECT, .fields = (f)                                                  \
	}
#define ARRAY(s)                                                                                   \
	{                                                                                          \
		.kind = OCI_ARRAY, .items = &(s)                                                   \
	}
#define MAP(s)                                                                                     \
	{                                                                                          \
		.kind = OCI_MAP, .items = &(s)                                                     \
	}
#define WORDS(w)                                                                                   \
	{                                                                                          \
		.kind = OCI_STRING, .words = (w)                                                   \
	}

#define FIELD(n, s)                                                                                \
	{                                                                                          \
		.name = (n), .schema = &(s)                                                        \
	}
#define REQUIRED(n, s)                                                                             \
	{                                                                                          \
		.name = (n), .schema = &(s), .required = true                                      \
	}
#define FIELDS_END                                                                                 \
	{                                                                                          \
		.name = NULL                                                                       \
	}

#endif
