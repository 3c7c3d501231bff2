/* Sanderling's engine for C and C++ programs: load an ONNX model, run it.
 *
 * Every function that may fail returns a status and, if `error` is not NULL, fills in a message
 * that says what is wrong, why and what to do. Objects are made by ..._load and ..._create and
 * given back by ..._free; NULL may be freed. A model may be used from many threads; sessions of one
 * model share its weights; a session may be used from many threads, which then take turns.
 *
 * What is here stays: functions may be added, none is changed or removed within a major version.
 */
#ifndef SANDERLING_SANDERLING_H
#define SANDERLING_SANDERLING_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SANDERLING_API __attribute__((visibility("default")))
#else
#define SANDERLING_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SANDERLING_MAX_RANK 8
#define SANDERLING_MAX_MESSAGE 1024

typedef enum {
  SANDERLING_OK = 0,
  SANDERLING_MODEL_ERROR = 1, /* the model's file is damaged, inconsistent or breaks a limit */
  SANDERLING_INPUT_ERROR = 2, /* a tensor, index, size or setting is wrong */
  SANDERLING_UNSUPPORTED_ERROR = 3, /* valid, but this build or CPU cannot do it */
  SANDERLING_INTERNAL_ERROR = 4,    /* a bug of ours, or no memory */
  SANDERLING_DEADLINE_ERROR = 5,    /* the run did not end within its timeout */
  SANDERLING_CANCELLED_ERROR = 6    /* sanderling_session_cancel() ended the run */
} sanderling_status;

/* The numbers of ONNX's TensorProto.DataType. Elements of fewer than 8 bits take a byte each. */
typedef enum {
  SANDERLING_FLOAT32 = 1,
  SANDERLING_UINT8 = 2,
  SANDERLING_INT8 = 3,
  SANDERLING_UINT16 = 4,
  SANDERLING_INT16 = 5,
  SANDERLING_INT32 = 6,
  SANDERLING_INT64 = 7,
  SANDERLING_BOOL = 9,
  SANDERLING_FLOAT16 = 10,
  SANDERLING_FLOAT64 = 11,
  SANDERLING_UINT32 = 12,
  SANDERLING_UINT64 = 13,
  SANDERLING_BFLOAT16 = 16
} sanderling_dtype;

typedef struct {
  char message[SANDERLING_MAX_MESSAGE];
} sanderling_error;

/* A tensor in the caller's memory, row-major and contiguous. */
typedef struct {
  int32_t dtype; /* sanderling_dtype */
  int32_t rank;
  int64_t dims[SANDERLING_MAX_RANK];
  void* data;
} sanderling_tensor;

/* An input or output of a model. */
typedef struct {
  const char* name;                  /* lives as long as the model */
  int32_t dtype;                     /* 0 where the file leaves it open (outputs only) */
  int32_t rank;                      /* -1 where the file leaves it open (outputs only) */
  int64_t dims[SANDERLING_MAX_RANK]; /* -1 where the extent is chosen at run time */
} sanderling_spec;

typedef struct sanderling_model sanderling_model;
typedef struct sanderling_session sanderling_session;

/* "0.1.0". */
SANDERLING_API const char* sanderling_version(void);

SANDERLING_API sanderling_status sanderling_model_load(const char* path, sanderling_model** model,
                                                       sanderling_error* error);
/* The bytes of an ONNX file, which may go away afterwards. */
SANDERLING_API sanderling_status sanderling_model_load_bytes(const void* bytes, size_t size,
                                                             sanderling_model** model,
                                                             sanderling_error* error);
SANDERLING_API void sanderling_model_free(sanderling_model* model);
SANDERLING_API size_t sanderling_model_inputs(const sanderling_model* model);
SANDERLING_API size_t sanderling_model_outputs(const sanderling_model* model);
SANDERLING_API sanderling_status sanderling_model_input(const sanderling_model* model, size_t index,
                                                        sanderling_spec* spec,
                                                        sanderling_error* error);
SANDERLING_API sanderling_status sanderling_model_output(const sanderling_model* model,
                                                         size_t index, sanderling_spec* spec,
                                                         sanderling_error* error);

/* `threads`: of one run, 1 to 256. `isa`: an instruction set by name, or NULL for the fastest. The
 * session keeps what it needs of the model, which may be freed. */
SANDERLING_API sanderling_status sanderling_session_create(const sanderling_model* model,
                                                           int32_t threads, const char* isa,
                                                           sanderling_session** session,
                                                           sanderling_error* error);
/* The same, but float matrix products and convolutions (but depthwise ones) round both factors to
 * bfloat16 (8 significant bits, half to even) and sum in float32: faster, and less exact by up to
 * about 2^-7 of the sum of the products' absolute values. Fails with SANDERLING_UNSUPPORTED_ERROR
 * where the instruction set has no such products. */
SANDERLING_API sanderling_status sanderling_session_create_bfloat16(const sanderling_model* model,
                                                                    int32_t threads,
                                                                    const char* isa,
                                                                    sanderling_session** session,
                                                                    sanderling_error* error);
SANDERLING_API void sanderling_session_free(sanderling_session* session);
/* The instruction set that it runs on, such as "avx2". */
SANDERLING_API const char* sanderling_session_isa(const sanderling_session* session);

/* Sets dtype, rank and dims of each output for inputs of these types (`data` is not read, and not
 * written). Fails with SANDERLING_UNSUPPORTED_ERROR where they depend on the inputs' elements. */
SANDERLING_API sanderling_status sanderling_session_output_types(
    sanderling_session* session, const sanderling_tensor* inputs, size_t input_count,
    sanderling_tensor* outputs, size_t output_count, sanderling_error* error);

/* Runs the model. Inputs and outputs stand in the model's order; outputs have the caller's memory,
 * dtype and dims that the model writes, and share no memory with each other or with inputs. After
 * a thread's first run with inputs of one shape, a run allocates nothing, unless types depend on
 * data or an operator is computed by its reference function (sanderling model show). */
SANDERLING_API sanderling_status sanderling_session_run(
    sanderling_session* session, const sanderling_tensor* inputs, size_t input_count,
    sanderling_tensor* outputs, size_t output_count, sanderling_error* error);

/* The same within `timeout_s` seconds, the wait for other threads' runs included; else
 * SANDERLING_DEADLINE_ERROR, and outputs may be half written. The time is looked at between the
 * steps of a plan, in every iteration of a loop and between the shares of a step that threads
 * divide, so that a run may end a little later. The session can run again. */
SANDERLING_API sanderling_status sanderling_session_run_for(
    sanderling_session* session, const sanderling_tensor* inputs, size_t input_count,
    sanderling_tensor* outputs, size_t output_count, double timeout_s, sanderling_error* error);

/* Ends all runs of the session that other threads have called for, as SANDERLING_CANCELLED_ERROR;
 * does not wait for them. Later runs are not touched. The session must not be freed meanwhile. */
SANDERLING_API void sanderling_session_cancel(sanderling_session* session);

#ifdef __cplusplus
}
#endif

#endif
