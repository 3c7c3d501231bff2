"""Retraining on the operator listener, samples on the device listener."""

from __future__ import annotations

import grpc

from sanderling.api.artifact.v1 import artifact_pb2_grpc
from sanderling.api.retrain.v1 import retrain_pb2 as pb
from sanderling.api.retrain.v1 import samples_pb2
from sanderling.api.retrain.v1.retrain_pb2_grpc import RetrainServiceServicer, add_RetrainServiceServicer_to_server
from sanderling.api.retrain.v1.samples_pb2_grpc import SampleServiceServicer, add_SampleServiceServicer_to_server
from sanderling.errors import InputError
from sanderling_fleet.core import samples
from sanderling_fleet.core.context import Core
from sanderling_fleet.retrain import book
from sanderling_fleet.retrain.driver import Retrainer
from sanderling_fleet.retrain.events import Rejected
from sanderling_fleet.retrain.gate import Comparison
from sanderling_fleet.retrain.job import Job, JobState
from sanderling_fleet.services.device import ArtifactService
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.services.paging import page
from sanderling_fleet.wire import timestamp

_MOST_LABELS = 100_000
_STATES = {state: pb.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState}


def add_to_operator_listener(core: Core, retrainer: Retrainer, server: grpc.aio.Server) -> None:
    """Adds RetrainService, and ArtifactService for who fetches samples and drafts."""
    add_RetrainServiceServicer_to_server(RetrainService(core, retrainer), server)
    artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactService(core), server)


def add_to_device_listener(core: Core, retrainer: Retrainer, server: grpc.aio.Server) -> None:
    """Adds SampleService."""
    add_SampleServiceServicer_to_server(SampleService(core, retrainer), server)


class SampleService(SampleServiceServicer):
    """See samples.proto."""

    def __init__(self, core: Core, retrainer: Retrainer) -> None:
        self._core = core
        self._retrainer = retrainer

    async def UploadSamples(
        self, request: samples_pb2.UploadSamplesRequest, context: Context
    ) -> samples_pb2.UploadSamplesResponse:
        """See samples.proto."""
        receipt = await samples.upload(self._core, CALL.get().caller, [sample_of(item) for item in request.samples])
        if not receipt.remaining_bytes:
            self._retrainer.wake()
        return samples_pb2.UploadSamplesResponse(
            committed_sample_ids=receipt.committed, remaining_budget_bytes=receipt.remaining_bytes
        )


class RetrainService(RetrainServiceServicer):
    """See retrain.proto."""

    def __init__(self, core: Core, retrainer: Retrainer) -> None:
        self._core = core
        self._retrainer = retrainer

    async def StartRetrain(self, request: pb.StartRetrainRequest, context: Context) -> pb.StartRetrainResponse:
        """See retrain.proto."""
        CALL.get().subject = request.slot
        trigger = f"{CALL.get().caller}: {request.reason}" if request.reason else CALL.get().caller
        job = await book.start(
            self._core, self._retrainer.plans, request_id=request.request_id, slot=request.slot, trigger=trigger
        )
        self._retrainer.wake()
        return pb.StartRetrainResponse(job=job_message(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """See retrain.proto."""
        async with self._core.store.transaction() as tx:
            await book.notice_published(tx, self._core.clock.now())
            jobs = await book.find_jobs(tx, slot=request.slot)
        listed, following = page(jobs, _age, request)
        return pb.ListJobsResponse(jobs=[job_message(job) for job in listed], next_page_token=following)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """See retrain.proto."""
        CALL.get().subject = request.job_id
        async with self._core.store.transaction() as tx:
            await book.notice_published(tx, self._core.clock.now())
            job = await book.get_job(tx, request.job_id)
        return pb.GetJobResponse(job=job_message(job))

    async def ImportLabels(self, request: pb.ImportLabelsRequest, context: Context) -> pb.ImportLabelsResponse:
        """See retrain.proto."""
        CALL.get().subject = request.job_id
        if len(request.labels) > _MOST_LABELS:
            raise InputError(f"[label] {len(request.labels):,} labels at once, at most {_MOST_LABELS:,} are taken")
        labels = {(item.device_id, item.sample_id): item.label for item in request.labels}
        job, unknown = await samples.import_labels(
            self._core, request.job_id, labels, request.cost, request_id=request.request_id, by=CALL.get().caller
        )
        self._retrainer.wake()
        return pb.ImportLabelsResponse(job=job_message(job), unknown=unknown)

    async def ListDrafts(self, request: pb.ListDraftsRequest, context: Context) -> pb.ListDraftsResponse:
        """See retrain.proto."""
        async with self._core.store.transaction() as tx:
            await book.notice_published(tx, self._core.clock.now())
            drafts = await book.find_jobs(tx, state=JobState.DRAFT)
        listed, following = page(drafts, _age, request)
        return pb.ListDraftsResponse(drafts=[job_message(job) for job in listed], next_page_token=following)

    async def RejectDraft(self, request: pb.RejectDraftRequest, context: Context) -> pb.RejectDraftResponse:
        """See retrain.proto."""
        CALL.get().subject = request.job_id
        event = Rejected(CALL.get().caller, request.reason or "without a reason")
        async with self._core.store.transaction() as tx:
            job = await book.apply(tx, self._core.clock.now(), request.job_id, event)
        self._retrainer.wake()
        return pb.RejectDraftResponse(job=job_message(job))


def sample_of(message: samples_pb2.Sample) -> samples.UploadedSample:
    """A sample as `core` takes it."""
    return samples.UploadedSample(
        sample_id=message.sample_id,
        slot=message.slot,
        version=message.version,
        window=message.window,
        inputs=dict(message.inputs),
        uniform=message.uniform,
        weight=message.weight,
    )


def job_message(job: Job) -> pb.Job:
    """A job on the wire."""
    return pb.Job(
        job_id=job.job_id,
        slot=job.slot,
        champion_version=job.champion_version,
        state=_STATES[job.state],
        reason=job.reason,
        trigger=job.trigger,
        samples=job.samples,
        labels=job.labels,
        sample_bytes=job.sample_bytes,
        samples_digest=bytes.fromhex(job.samples_digest),
        label_cost=job.label_cost,
        progress=job.progress,
        gate=[_comparison(item) for item in job.gate],
        draft_version=job.draft_version,
        draft_digest=bytes.fromhex(job.draft_digest),
        created_at=timestamp(job.created_at),
        ended_at=timestamp(job.ended_at),
        log_tail=job.log_tail,
    )


def _age(job: Job) -> tuple[float, str]:
    return job.created_at, job.job_id


def _comparison(item: Comparison) -> pb.Comparison:
    return pb.Comparison(
        rows_name=item.rows_name,
        rows=item.rows,
        champion_accuracy=item.champion_accuracy,
        challenger_accuracy=item.challenger_accuracy,
        lower=item.lower,
        upper=item.upper,
        passed=item.passed,
        reason=item.reason,
    )
