"""What the routes of users and sessions take and answer."""

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
    Field(description="Days until the key expires; if not given, it works until it is revoked."),
]
Label = Annotated[
    str, Field(max_length=100, pattern=r"^[^\x00]*$", description="To tell keys apart.")
]

USER_ID = "The name of the user."
KEY_ID = "Of the key, which it does not give away."
KEY = "The key itself: in this answer and nowhere else."
EXPIRES_AT = "When it stops working; null if it does not."
LAST_USED_AT = "When it was used last, to some minutes; null if never."


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=200)


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="The name; it never changes."),
    ]
    is_admin: StrictBool = False
    expires_in_days: Days = None


class NewUserKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Label = ""
    expires_in_days: Days = None


class OwnKey(Answer):
    """The key that a request came with."""

    key_id: UUID = Field(description=KEY_ID)
    label: str = Field(description="To tell keys apart.")
    expires_at: datetime | None = Field(description=EXPIRES_AT)


class Usage(Answer):
    """What is used of what is allowed."""

    used: int = Field(description="What there is.")
    limit: int | None = Field(description="What is allowed; null: any number.")


class OwnLimits(Answer):
    """What you have of what you may have."""

    stored_bytes: Usage = Field(description="Bytes of your files.")
    queued_jobs: Usage = Field(description="Your jobs that wait or run.")
    uploads: Usage = Field(description="Your resumable uploads that are not whole.")
    requests_per_minute: int | None = Field(
        description="Requests that you may make; null: any number."
    )


class Me(Answer):
    """Who is signed in."""

    user_id: str = Field(description=USER_ID)
    is_admin: bool = Field(description="Whether the user may look after others.")
    is_signed_in: bool = Field(
        description="False before the first user is made: then everybody is the same one."
    )
    auth_required: bool = Field(description="Whether the settings ask for a key.")
    key: OwnKey | None = Field(description="The key that was used; null without one.")
    limits: OwnLimits = Field(description="What you have of what you may have.")


class User(Answer):
    """A user."""

    user_id: str = Field(description=USER_ID)
    is_admin: bool = Field(description="Whether the user may look after others.")
    status: Literal["active", "revoked"] = Field(description="`revoked`: no key works.")
    valid_keys: int = Field(description="Keys that work.")
    created_at: datetime = Field(description=CREATED_AT)
    revoked_at: datetime | None = Field(description="When it was revoked; null if it was not.")
    last_used_at: datetime | None = Field(description=LAST_USED_AT)


class UserWithKey(User):
    """A new user with a first key."""

    key_id: UUID = Field(description=KEY_ID)
    key: str = Field(description=KEY)


class UserPage(Answer):
    """Users in the order of their names."""

    items: list[User] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_after: str | None = Field(description="`after` of the next page; null at the end.")


class UserKey(Answer):
    """A key, without itself: it is not stored."""

    key_id: UUID = Field(description=KEY_ID)
    label: str = Field(description="To tell keys apart.")
    status: Literal["valid", "revoked", "expired"] = Field(description="Whether it works.")
    created_at: datetime = Field(description=CREATED_AT)
    expires_at: datetime | None = Field(description=EXPIRES_AT)
    revoked_at: datetime | None = Field(description="When it was revoked; null if it was not.")
    last_used_at: datetime | None = Field(description=LAST_USED_AT)


class UserKeyList(Answer):
    """The keys of a user, oldest first."""

    items: list[UserKey] = Field(description="All of them.")


class CreatedKey(Answer):
    """A new key."""

    user_id: str = Field(description=USER_ID)
    label: str = Field(description="To tell keys apart.")
    key_id: UUID = Field(description=KEY_ID)
    key: str = Field(description=KEY)
