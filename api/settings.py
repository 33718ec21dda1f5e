"""All settings: one frozen tree, read from `configs/app.yaml`, then `SMARTSTORE_*` variables.

The only reader of the environment. `SMARTSTORE_SERVER__PORT=9000` sets `server.port`;
`SMARTSTORE_CONFIG` names another YAML file. Unknown keys fail; all faults are reported at once.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from api.access.loopback import is_loopback
from api.access.origins import check_origin
from api.channels.settings import ChannelSettings, HandOverSettings, PageSettings, PublicSettings
from api.errors import CommandError

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
ENV_PREFIX = "SMARTSTORE_"
CONFIG_VARIABLE = "SMARTSTORE_CONFIG"
# Names the folder of evaluation cases for `make gates` and for training, which keeps clear of them.
EVAL_VARIABLE = "SMARTSTORE_EVAL_DIR"


class SettingsError(CommandError):
    """The settings cannot be used; the message lists every fault."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """Where the API listens, and how much it accepts."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    hosts: tuple[str, ...] = Field(
        (), description="further names (Host) that a server on loopback without keys answers to"
    )
    origins: tuple[str, ...] = Field(
        (), description="pages elsewhere that may use this server: fetch, events, sockets, frames"
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="addresses and networks whose X-Forwarded-For counts"
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="larger request bodies get 413")
    max_raw_body_bytes: int = Field(16_777_216, ge=1024, description="of raw models (images, tools)")
    max_question_chars: int = Field(2000, ge=1)
    request_timeout_s: float = Field(
        10.0, gt=0, description="for a request's head, and for each pause in its body"
    )
    heartbeat_s: float = Field(15.0, gt=0, description="comment line on a silent event stream")
    public_url: str = Field("", description="how clients reach this server; empty: as each request names it")

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_origin, value))


class CorpusSettings(_Section):
    """Which FAQ is served."""

    faq: Path = Path("configs/faq/sample.jsonl")
    expansions: Path = Path("configs/expansions")


class IndexSettings(_Section):
    """Where the index lives; an empty `uri` means a Milvus Lite file under `data_dir`."""

    uri: str = ""
    token: SecretStr = SecretStr("")
    snapshot_max_faqs: int = Field(50_000, ge=0, description="above it, Milvus answers every search")
    refresh_s: float = Field(5.0, gt=0, description="how often the server looks for a new index")


class EmbedderSettings(_Section):
    """Which embedder; `model`, `base_url` and `api_key` matter to those that have them."""

    name: Literal["e5-small", "sentence-transformer", "openai"] = "e5-small"
    model: str = Field("BAAI/bge-m3", description="a folder or a hub id; what `openai` calls it")
    base_url: str = ""
    api_key: SecretStr = SecretStr("")
    dim: int = Field(1024, ge=8, description="vector size of a remote embedder's model")
    device: str = "cpu"


class RerankerSettings(_Section):
    """What reads the first hits once more: `cross-encoder` needs the extra `st`, the others a server."""

    name: Literal["none", "cross-encoder", "remote", "tei"] = "none"
    model: str = Field("BAAI/bge-reranker-v2-m3", description="a folder or a hub id; what `remote` calls it")
    base_url: str = Field("", description="of `remote` up to and with /v1; of `tei` the server's root")
    api_key: SecretStr = SecretStr("")
    device: str = "cpu"
    depth: int = Field(10, ge=2, description="hits that it reads")

    @model_validator(mode="after")
    def _names_what_it_needs(self) -> RerankerSettings:
        if self.name == "none" and self.model_fields_set & {"model", "base_url", "api_key"}:
            raise ValueError("name says none, but a model or server is set: cross-encoder, remote or tei?")
        if self.name in ("remote", "tei") and not self.base_url:
            raise ValueError(f"{self.name} needs base_url")
        return self


class StateSettings(_Section):
    """Sessions, event logs, caches: `embedded://` or a Redis/Valkey URL."""

    url: SecretStr = SecretStr("embedded://")
    prefix: str = "smartstore:"
    session_ttl_s: int = Field(7 * 86_400, ge=60)
    turn_ttl_s: int = Field(86_400, ge=60, description="how long a finished turn can be replayed")
    max_session_turns: int = Field(100, ge=1)
    answer_ttl_s: int = Field(86_400, ge=0, description="how long first answers are cached; 0: not at all")


class HistorySettings(_Section):
    """The lasting log of turns; an empty `url` means a SQLite file under `data_dir`."""

    enabled: bool = True
    url: SecretStr = Field(SecretStr(""), description="sqlite:///file or postgresql://user:pass@host/name")
    retention_days: int = Field(90, ge=0, description="older turns are removed; 0 keeps them for ever")
    max_waiting: int = Field(100_000, ge=100, description="turns that may wait for a database that is away")


class TurnSettings(_Section):
    """How turns run."""

    runner: Literal["inline", "queued"] = "inline"
    max_concurrent: int = Field(64, ge=1)
    timeout_s: float = Field(120.0, gt=0)
    abandoned_grace_s: float = Field(60.0, ge=0, description="a turn nobody follows ends after it")
    drain_s: float = Field(20.0, ge=0)


class QueueSettings(_Section):
    """RabbitMQ: queued turns and jobs."""

    url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    prefix: str = "smartstore"
    max_length: int = Field(1000, ge=1, description="turns that may wait; more get 503")
    max_wait_s: float = Field(10.0, ge=0, description="a longer wait refuses new turns with 503; 0: none")
    max_deliveries: int = Field(5, ge=1, description="then a turn goes to the dead letters")
    concurrency: int = Field(16, ge=1, description="turns a worker runs at the same time")
    metrics_port: int = Field(0, ge=0, le=65535, description="where a worker serves /metrics; 0: nowhere")
    redelivery_s: float = Field(90.0, gt=0, description="a turn without a worker for so long counts as lost")


class TracingSettings(_Section):
    """OpenTelemetry traces; needs the extra `otel`."""

    endpoint: str = Field(
        "", description="an OTLP collector, e.g. http://127.0.0.1:4318/v1/traces; empty: off"
    )
    service: str = "smartstore"


class ConversationSettings(_Section):
    """What an answer is made from."""

    history_turns: int = Field(6, ge=0)
    passages: int = Field(4, ge=1, le=20)
    max_answer_tokens: int = Field(700, ge=16)
    rewrite_timeout_s: float = Field(
        3.0, ge=0, description="how long an LLM may take to read a follow-up; 0 leaves it to the rule"
    )
    mask_personal_data: bool = Field(True, description="mask before text leaves for a third party")
    ungrounded: Literal["flag", "drop"] = Field(
        "flag", description="a model's sentences with figures or menus that no cited FAQ holds"
    )


class Endpoint(_Section):
    """An OpenAI-compatible server: OpenAI, vLLM, or any other; or several that run the same model."""

    base_url: str | tuple[str, ...] = Field(description="several: a list, or separated by commas")
    model: str
    alias_file: Path | None = Field(None, description="says which adapter `model` stands for")
    adapters_mounted: str = Field("", description="the adapters' folder as the servers see it, if elsewhere")
    api_key: SecretStr = SecretStr("")
    third_party: bool = Field(True, description="text leaves the operator's machines; needs an api_key")
    extra_body: dict[str, Any] = Field({}, description="added to every request; null removes a field")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    responses_api: bool = Field(False, description="has POST /responses; else chat completions stand in")
    context_tokens: int | None = Field(
        None, ge=512, description="the model's context window, where the server does not list max_model_len"
    )
    opens_thinking: bool = Field(False, description="the chat template itself opens <think>")
    connect_timeout_s: float = Field(5.0, gt=0)
    first_token_timeout_s: float = Field(20.0, gt=0, description="all attempts together")
    between_tokens_timeout_s: float = Field(15.0, gt=0)
    max_retries: int = Field(2, ge=0, le=10, description="before the first token")
    max_connections: int = Field(100, ge=1)
    usd_per_million_input: float = Field(0.0, ge=0)
    usd_per_million_output: float = Field(0.0, ge=0)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The address of each server."""
        several = self.base_url.split(",") if isinstance(self.base_url, str) else self.base_url
        return tuple(url.strip().rstrip("/") for url in several)

    @model_validator(mode="after")
    def _are_http(self) -> Endpoint:
        for each in self.base_urls or ("",):
            url = urlsplit(each)
            if url.scheme not in ("http", "https") or not url.hostname or url.port == 0:
                raise ValueError("base_url: must be an http:// or https:// URL, or several")
            if url.username or url.query or url.fragment:
                raise ValueError("base_url: must hold a host, a port and a path; the key goes into api_key")
        if len(set(self.base_urls)) < len(self.base_urls):
            raise ValueError("base_url: names a server twice")
        return self

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if re.search(r"[^\x21-\x7e]", value.get_secret_value()):
            raise ValueError("holds a character that no header can carry; is there a line break in it?")
        return value


class ProviderSettings(_Section):
    """Who writes the answers. `extractive` (no LLM) is always there."""

    default: str = "extractive"
    fallback: tuple[str, ...] = ("extractive",)
    breaker_failures: int = Field(5, ge=1, description="failures in a row that open the circuit breaker")
    breaker_open_s: float = Field(10.0, gt=0, description="then nobody asks for so long, doubled each time")
    endpoints: dict[str, Endpoint] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every provider name, `extractive` first."""
        return ("extractive", *self.endpoints)

    @property
    def default_lacks_key(self) -> bool:
        """True where the default provider cannot answer for want of its API key: a fallback would."""
        endpoint = self.endpoints.get(self.default)
        return endpoint is not None and endpoint.third_party and not endpoint.api_key.get_secret_value()

    @model_validator(mode="after")
    def _names_exist(self) -> ProviderSettings:
        for name in (self.default, *self.fallback):
            if name not in self.names:
                raise ValueError(f"provider {name!r} is not configured; valid: {', '.join(self.names)}")
        return self


class AuthSettings(_Section):
    """Who may come in. Without a key nobody does, except on a server that listens on loopback."""

    required: bool | None = Field(None, description="keys are required; by default unless on loopback")
    operations: bool = Field(
        False, description="/metrics, /docs and /openapi.json need a key, too, beyond this machine"
    )
    admin_key: SecretStr = Field(
        SecretStr(""), description="a key with every scope, at least 32 characters; never stored"
    )

    @model_validator(mode="after")
    def _long_enough(self) -> AuthSettings:
        if 0 < len(self.admin_key.get_secret_value()) < 32:
            raise ValueError("admin_key: needs at least 32 characters; make one with `openssl rand -hex 32`")
        return self


class OpenAISettings(_Section):
    """The OpenAI-compatible endpoint."""

    follow_ups: bool = Field(False, description="`faq` answers end with their follow-ups as lines of text")
    max_embedding_inputs: int = Field(128, ge=1)


class LogSettings(_Section):
    """Structured logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Settings(BaseSettings):
    """The whole tree; relative paths are relative to the repository."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )  # fmt: skip

    data_dir: Path = Path("var")
    server: Server = Server()
    corpus: CorpusSettings = CorpusSettings()
    index: IndexSettings = IndexSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = RerankerSettings()
    state: StateSettings = StateSettings()
    history: HistorySettings = HistorySettings()
    turns: TurnSettings = TurnSettings()
    queue: QueueSettings = QueueSettings()
    conversation: ConversationSettings = ConversationSettings()
    providers: ProviderSettings = ProviderSettings()
    auth: AuthSettings = AuthSettings()
    public: PublicSettings = PublicSettings()
    page: PageSettings = PageSettings()
    hand_over: HandOverSettings = HandOverSettings()
    openai: OpenAISettings = OpenAISettings()
    channels: ChannelSettings = ChannelSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Precedence: arguments, environment, YAML."""
        file = Path(os.environ.get(CONFIG_VARIABLE, CONFIGS / "app.yaml"))
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)

    @property
    def keys_required(self) -> bool:
        """True where only who has a key, or is a visitor of the public page, comes in."""
        if self.public.enabled:
            return True
        required = self.auth.required
        return not is_loopback(self.server.host) if required is None else required

    @property
    def index_uri(self) -> str:
        """The index's URI, the Milvus Lite file under `data_dir` by default."""
        return self.index.uri or str(self.path(self.data_dir) / "index" / "faq.db")

    @property
    def key_variable(self) -> str:
        """The variable that holds the default provider's API key."""
        return f"{ENV_PREFIX}PROVIDERS__ENDPOINTS__{self.providers.default.upper()}__API_KEY"

    def path(self, path: Path) -> Path:
        """`path` made absolute: relative ones start at the repository, `~` at the home folder."""
        return (ROOT / path.expanduser()).resolve()


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings.

    Raises:
        SettingsError: with every fault, one a line, each naming its key.
    """
    file = os.environ.get(CONFIG_VARIABLE)
    if file and not Path(file).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE}={file}: no such file")
    faults = [f"{name}: no such setting" for name in sorted(_unknown_variables())]
    try:
        settings = Settings(**overrides)
    except ValidationError as exc:
        faults += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
        raise SettingsError("invalid settings:\n  " + "\n  ".join(faults)) from exc
    if faults:
        raise SettingsError("invalid settings:\n  " + "\n  ".join(faults))
    return settings


def _unknown_variables() -> set[str]:
    """`SMARTSTORE_*` variables whose first part names no section."""
    given = {name for name in os.environ if name.startswith(ENV_PREFIX)}
    given -= {CONFIG_VARIABLE, EVAL_VARIABLE}
    known = set(Settings.model_fields)
    return {n for n in given if n.removeprefix(ENV_PREFIX).lower().split("__")[0] not in known}
