"""What the checks of placement drivers share: cells to choose among."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import common
from cellplug.testing.conformance import harnesses

PROJECT = 'suite-project'

Candidate = objects.Candidate
Request = objects.PlacementRequest
Capability = interfaces.PlacementCapability


class PlacementCase(common.DriverChecks):
    """A placement driver, and candidates as the router makes them."""

    interface = 'placement'
    capability_enum = Capability

    def setUp(self) -> None:
        super().setUp()
        self._numbers = itertools.count(1)
        self.context = harnesses.Context(
            user_id='suite-user', project_id=PROJECT
        )

    # -- questions ---------------------------------------------------------

    def candidate(
        self, instances: int = 0, project_instances: int = 0, **values: Any
    ) -> Candidate:
        """A cell that is open; its URLs hold a password.

        :param instances: None, as is ``project_instances``, unless the
            driver declares that it looks there.
        :param values: of the cell.
        """
        uuid, number = identifiers.new_uuid(), next(self._numbers)
        secret = f'suite:{base.CANARY}@nowhere.invalid'
        given: dict[str, Any] = {
            'uuid': uuid,
            'name': f'suite{number}',
            'database_connection': f'mysql+pymysql://{secret}/c{number}',
            'transport_url': f'rabbit://{secret}/c{number}',
            'generation': number,
            **values,
        }
        return self.counted(
            Candidate(cell=objects.CellMapping(**given)),
            instances,
            project_instances,
        )

    def counted(
        self, one: Candidate, instances: int = 0, project_instances: int = 0
    ) -> Candidate:
        """The same cell with other counts, as far as the driver gets any."""
        needs = self.subject.capabilities
        return Candidate(
            cell=one.cell,
            instances=instances if Capability.COUNTS in needs else None,
            project_instances=project_instances
            if Capability.PROJECT_COUNTS in needs
            else None,
        )

    def candidates(self, *instances: int) -> list[Candidate]:
        """A cell for each count; half of them are the project's."""
        return [self.candidate(number, number // 2) for number in instances]

    def request(self, **values: Any) -> Request:
        """A new instance of the suite's project and user."""
        given: dict[str, Any] = {
            'instance_uuid': identifiers.new_uuid(),
            'project_id': PROJECT,
            'user_id': 'suite-user',
            **values,
        }
        return Request(**given)

    # -- answers -----------------------------------------------------------

    def rank(
        self,
        candidates: Sequence[Candidate],
        request: Request | None = None,
        driver: Any = None,
    ) -> list[str]:
        """What the driver says, if it may say so; empty where nothing fits."""
        asked = driver or self.subject
        wanted = request or self.request()
        try:
            answer = asked.rank(self.context, candidates, wanted)
        except exception.NoCellAvailable as exc:
            self.assertEqual(wanted.instance_uuid, exc.instance_uuid)
            return []
        self.check_answer(candidates, answer)
        found: list[str] = answer
        return found

    def check_answer(
        self, candidates: Sequence[Candidate], answer: Any
    ) -> None:
        """Assert that it is a list of candidates' uuids, each once."""
        self.assertIsInstance(answer, list, 'the answer is a list')
        known = {one.uuid for one in candidates}
        strangers = [one for one in answer if one not in known]
        self.assertEqual([], strangers, 'named, and uuids of no candidate')
        self.assertEqual(len(set(answer)), len(answer), 'uuids, each once')

    def exercise(self, driver: Any) -> None:
        """Have an instance ranked, and another one of another project."""
        self.rank(self.candidates(4, 0, 9), driver=driver)
        self.rank(
            self.candidates(1, 1),
            self.request(project_id='suite-other'),
            driver,
        )
