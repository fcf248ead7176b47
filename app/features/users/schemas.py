"""Request and response models of users and sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool

from app.api.answers import CREATED_AT, LIMIT, Answer
from app.api.parameters import Integer
from app.jobs.users import MAX_DAYS

Days = Annotated[
    Annotated[Integer, Field(ge=1, le=MAX_DAYS)] | None,
    Field(description="Days until the key expires; by default it is valid until it is revoked."),
]
Label = Annotated[
    str, Field(max_length=100, pattern=r"^[^\x00]*$", description="A name to tell keys apart.")
]

USER_ID = "The name of the user."
KEY_ID = "Id of the key; does not reveal it."
KEY = "The key itself, only in this response."
EXPIRES_AT = "Time when it expires; null if it does not."
LAST_USED_AT = "Approximate time of its last use; null if never used."


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=200)


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
            description="Name of the user; it never changes.",
        ),
    ]
    is_admin: StrictBool = False
    expires_in_days: Days = None


class NewUserKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Label = ""
    expires_in_days: Days = None


class OwnKey(Answer):
    """The key of this request."""

    key_id: UUID = Field(description=KEY_ID)
    label: str = Field(description="A name to tell keys apart.")
    expires_at: datetime | None = Field(description=EXPIRES_AT)


class Usage(Answer):
    """Usage and limit."""

    used: int = Field(description="Current usage.")
    limit: int | None = Field(description="Limit; null means unlimited.")


class OwnLimits(Answer):
    """Your usage and limits."""

    stored_bytes: Usage = Field(description="Bytes of your files.")
    queued_jobs: Usage = Field(description="Your waiting and running jobs.")
    uploads: Usage = Field(description="Your unfinished resumable uploads.")
    requests_per_minute: int | None = Field(
        description="Requests that you may send; null means unlimited."
    )


class Me(Answer):
    """The current user."""

    user_id: str = Field(description=USER_ID)
    is_admin: bool = Field(description="Whether the user may manage users.")
    is_signed_in: bool = Field(
        description="False before the first user exists; everybody is the same user then."
    )
    auth_required: bool = Field(description="Whether the settings require a key.")
    key: OwnKey | None = Field(description="The key of this request; null without one.")
    limits: OwnLimits = Field(description="Your usage and limits.")


class User(Answer):
    """A user."""

    user_id: str = Field(description=USER_ID)
    is_admin: bool = Field(description="Whether the user may manage users.")
    status: Literal["active", "revoked"] = Field(description="`revoked`: no key is valid.")
    valid_keys: int = Field(description="Number of valid keys.")
    created_at: datetime = Field(description=CREATED_AT)
    revoked_at: datetime | None = Field(description="Time when it was revoked; null if it was not.")
    last_used_at: datetime | None = Field(description=LAST_USED_AT)


class UserWithKey(User):
    """A new user with a first key."""

    key_id: UUID = Field(description=KEY_ID)
    key: str = Field(description=KEY)


class UserPage(Answer):
    """Users sorted by name."""

    items: list[User] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_after: str | None = Field(description="`after` of the next page; null at the end.")


class UserKey(Answer):
    """A key without its value, which is not stored."""

    key_id: UUID = Field(description=KEY_ID)
    label: str = Field(description="A name to tell keys apart.")
    status: Literal["valid", "revoked", "expired"] = Field(description="Whether it is valid.")
    created_at: datetime = Field(description=CREATED_AT)
    expires_at: datetime | None = Field(description=EXPIRES_AT)
    revoked_at: datetime | None = Field(description="Time when it was revoked; null if it was not.")
    last_used_at: datetime | None = Field(description=LAST_USED_AT)


class UserKeyList(Answer):
    """The keys of a user, oldest first."""

    items: list[UserKey] = Field(description="All keys.")


class CreatedKey(Answer):
    """A new key."""

    user_id: str = Field(description=USER_ID)
    label: str = Field(description="A name to tell keys apart.")
    key_id: UUID = Field(description=KEY_ID)
    key: str = Field(description=KEY)
