"""A whole Django project in a file: admin, sessions, uploads and streams. $SITE_DB is its database."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DB"]}},
    STATIC_URL="/static/",
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

Request: TypeAlias = Any  # an ASGIRequest or a WSGIRequest


def hello(request: Request) -> HttpResponse:
    """Answer from a thread, as most of Django does."""
    return HttpResponse("hello, world", content_type="text/plain")


async def async_hello(request: Request) -> HttpResponse:
    """Answer from the loop."""
    await asyncio.sleep(0)
    return HttpResponse("hello, loop", content_type="text/plain")


@csrf_exempt  # type: ignore[untyped-decorator]
def upload(request: Request) -> JsonResponse:
    """Take a form with a file."""
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse({"note": request.POST["note"], "sha256": digest.hexdigest(), "size": file.size})


def stream(request: Request) -> StreamingHttpResponse:
    """Answer piece by piece: asynchronously where that is possible."""

    async def loop_lines() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"line %d\n" % number
            await asyncio.sleep(0.005)

    def thread_lines() -> Iterator[bytes]:
        for number in range(20):
            yield b"line %d\n" % number
            time.sleep(0.005)

    lines = loop_lines() if isinstance(request, ASGIRequest) else thread_lines()
    return StreamingHttpResponse(lines, content_type="text/plain")


def about(request: Request) -> JsonResponse:
    """Tell how the request looks from inside."""
    return JsonResponse(
        {
            "url": request.build_absolute_uri(),
            "path": request.path,
            "script_name": request.META.get("SCRIPT_NAME", ""),
            "client": request.META["REMOTE_ADDR"],
            "query": request.GET.dict(),
            "kind": type(request).__name__,
        }
    )


def fails(request: Request) -> HttpResponse:
    """Break."""
    raise RuntimeError("a secret of the house")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("hello", hello),
    path("async-hello", async_hello),
    path("upload", upload),
    path("stream", stream),
    path("about/<str:name>", lambda request, name: about(request)),
    path("fails", fails),
]

asgi = get_asgi_application()
wsgi = get_wsgi_application()
