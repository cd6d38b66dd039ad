"""The use cases put together, for the service and for operators' commands alike."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.clock import Clock, NewId, new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_chassis.passwords import Passwords

from kappi_identity.background_jobs import BackgroundJobs
from kappi_identity.domain import SessionPolicy
from kappi_identity.key_schedule import KeyPolicy
from kappi_identity.known_clients import KnownClients
from kappi_identity.mailer import MailTransport, mail_transport, reset_mail_maker
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.keys import KeyQueries
from kappi_identity.repository.resets import ResetQueries
from kappi_identity.repository.takedowns import TakedownQueries
from kappi_identity.repository.throttle import ThrottleQueries
from kappi_identity.repository.tiers import TierQueries
from kappi_identity.settings import IdentitySettings
from kappi_identity.throttle import Limit, Throttle
from kappi_identity.tokens import AccessTokens, KeySeal
from kappi_identity.use_cases.keys import RETIRE_GRACE, Keyring, KeyRotation
from kappi_identity.use_cases.login import Login, LoginLimits, PasswordCheck
from kappi_identity.use_cases.moderation import Moderation
from kappi_identity.use_cases.password_reset import PasswordReset, ResetLimits, ResetMailer
from kappi_identity.use_cases.profile import Profile
from kappi_identity.use_cases.refresh_tokens import RefreshTokens
from kappi_identity.use_cases.sessions import Sessions
from kappi_identity.use_cases.sign_up import SignUp
from kappi_identity.use_cases.tiers import Tiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What everything stands on; tests put their own clock, ids and mail here."""

    database: Database
    outbox: Outbox
    clock: Clock = utc_now
    new_id: NewId = new_id
    mail: MailTransport | None = None


class Assembly:
    """Nothing connects here, and the thread for passwords comes with the first of them."""

    def __init__(self, deps: Dependencies, settings: IdentitySettings) -> None:
        self._ground = deps
        self._settings = settings
        secret = settings.key_secret.get_secret_value().encode()
        clock, database = deps.clock, deps.database
        self.accounts = AccountQueries(database)
        self.passwords = Passwords(
            time_cost=settings.password_time_cost,
            memory_kib=settings.password_memory_kib,
            longest_queue=settings.password_queue,
            share=settings.password_share,
        )
        self.throttle = Throttle(ThrottleQueries(database), secret=secret, clock=clock)
        self.policy = SessionPolicy(
            idle=settings.session_idle,
            longest=settings.session_longest,
            retry_grace=settings.refresh_retry_grace,
        )
        seal, keys = KeySeal(secret), KeyQueries(database)
        self.rotation = KeyRotation(database=database, seal=seal, policy=key_policy(settings), clock=clock)
        self.keyring = Keyring(queries=keys, rotation=self.rotation, seal=seal)
        self.access_tokens = AccessTokens(
            lifetime=settings.access_token_lifetime, clock=clock, new_id=deps.new_id
        )
        self.tiers = Tiers(
            outbox=deps.outbox,
            queries=TierQueries(database),
            sign_up_tier=settings.sign_up_tier,
            clock=clock,
        )
        self.moderation = Moderation(outbox=deps.outbox, clock=clock, new_id=deps.new_id)
        self.takedowns = TakedownQueries(database)
        self.sessions = Sessions(database=database, clock=clock)
        self._resets = ResetQueries(database)
        self._known = KnownClients(
            secret=secret,
            lifetime=settings.login_known_for,
            most_addresses=settings.login_known_addresses,
            clock=clock,
        )
        self._check = PasswordCheck(
            accounts=self.accounts,
            known=self._known,
            passwords=self.passwords,
            throttle=self.throttle,
            limits=_login_limits(settings),
        )

    @property
    def panel_policy(self) -> SessionPolicy:
        """A login to the panel lasts its time and is never refreshed."""
        lasting = self._settings.panel_session
        return SessionPolicy(idle=lasting, longest=lasting, retry_grace=self.policy.retry_grace)

    def sign_up(self) -> SignUp:
        deps = self._ground
        return SignUp(
            outbox=deps.outbox,
            passwords=self.passwords,
            tier=self._settings.sign_up_tier,
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def login(self) -> Login:
        deps = self._ground
        return Login(
            outbox=deps.outbox,
            check=self._check,
            known=self._known,
            passwords=self.passwords,
            keyring=self.keyring,
            access_tokens=self.access_tokens,
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def refresh_tokens(self) -> RefreshTokens:
        return RefreshTokens(
            outbox=self._ground.outbox,
            keyring=self.keyring,
            access_tokens=self.access_tokens,
            policy=self.policy,
            clock=self._ground.clock,
        )

    def profile(self) -> Profile:
        deps = self._ground
        return Profile(
            outbox=deps.outbox,
            check=self._check,
            known=self._known,
            passwords=self.passwords,
            recent_login=self._settings.recent_login,
            clock=deps.clock,
        )

    def password_reset(self) -> PasswordReset:
        deps = self._ground
        return PasswordReset(
            outbox=deps.outbox,
            queries=self._resets,
            accounts=self.accounts,
            known=self._known,
            passwords=self.passwords,
            throttle=self.throttle,
            limits=_reset_limits(self._settings),
            clock=deps.clock,
            new_id=deps.new_id,
        )

    def reset_mailer(self) -> ResetMailer:
        deps, settings = self._ground, self._settings
        return ResetMailer(
            database=deps.database,
            queries=self._resets,
            transport=deps.mail or mail_transport(settings, new_id=deps.new_id),
            make_mail=reset_mail_maker(settings, clock=deps.clock),
            token_lifetime=settings.reset_lifetime,
            clock=deps.clock,
        )

    def background_jobs(self) -> BackgroundJobs:
        return BackgroundJobs(
            database=self._ground.database,
            tiers=self.tiers,
            rotation=self.rotation,
            session_idle=self._settings.session_idle,
            client_known_for=self._settings.login_known_for,
            clock=self._ground.clock,
        )


def key_policy(settings: IdentitySettings) -> KeyPolicy:
    return KeyPolicy(
        publish_ahead=settings.key_publish_ahead,
        retire_for=settings.access_token_lifetime + RETIRE_GRACE,
        rotate_every=settings.key_rotate_every,
    )


def _login_limits(settings: IdentitySettings) -> LoginLimits:
    return LoginLimits(
        per_client=Limit(
            name="login client",
            burst=settings.login_burst_per_client,
            refill=settings.login_refill_per_client,
        ),
        per_account=Limit(
            name="login account",
            burst=settings.login_burst_per_account,
            refill=settings.login_refill_per_account,
        ),
        per_address=Limit(
            name="login address",
            burst=settings.login_burst_per_address,
            refill=settings.login_refill_per_address,
        ),
    )


def _reset_limits(settings: IdentitySettings) -> ResetLimits:
    return ResetLimits(
        per_account=Limit(
            name="reset account",
            burst=settings.reset_burst_per_account,
            refill=settings.reset_refill_per_account,
        ),
        per_address=Limit(
            name="reset address",
            burst=settings.reset_burst_per_address,
            refill=settings.reset_refill_per_address,
        ),
    )
