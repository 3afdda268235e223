"""A Django app in one file, as WSGI and as ASGI."""

import sys

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="no secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Hello from Django {request.scheme} {request.path} {request.META['SCRIPT_NAME']}")


def upload(request: HttpRequest) -> JsonResponse:
    size = 0
    while piece := request.read(1 << 16):
        size += len(piece)
    return JsonResponse({"size": size})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{number}," for number in range(1000))


urlpatterns = [path("", hello), path("café/", hello), path("upload", upload), path("stream", stream)]
sys.modules.setdefault("django_shop", sys.modules[__name__])

from django.core.wsgi import get_wsgi_application  # noqa: E402 (the settings come first)

application = get_wsgi_application()
