//! The actions, one method each. Names follow the API's, without `Describe`.
//!
//! All are reads; those that manage hooks are in `service_hooks.rs`. Projects are named by their identifier (`Name`, not `DisplayName`) where CODING wants the
//! name, and by number where it wants the id. Every method has the errors of [`Client`]'s requests, see
//! [`crate::ErrorKind`].

use serde_json::{Map, Value, json};

use crate::client::ask::{Ask, ReadProjects};
use crate::client::{Client, Reply};
use crate::error::Error;
use crate::issues::{IssueQuery, IssueType, PageSize};
use crate::iterations::IterationQuery;
use crate::paging::{Listing, Style};
use crate::row::Row;

impl Client {
    /// Whose credential this is (`DescribeCodingCurrentUser`): a user object.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn current_user(&self) -> Result<Reply<Row>, Error> {
        self.call("DescribeCodingCurrentUser", &Map::new(), &["User"]).await
    }

    /// The credential's team (`DescribeTeam`); `TeamHost` is its address.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn team(&self) -> Result<Reply<Row>, Error> {
        self.call("DescribeTeam", &Map::new(), &["Data", "data"]).await
    }

    /// The project with this identifier (`DescribeProjectByName`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn project_by_name(&self, name: &str) -> Result<Reply<Row>, Error> {
        self.call("DescribeProjectByName", &params(json!({ "ProjectName": name })), &["Project"]).await
    }

    /// The project with this id (`DescribeOneProject`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn project(&self, id: i64) -> Result<Reply<Row>, Error> {
        self.call("DescribeOneProject", &params(json!({ "ProjectId": id })), &["Project"]).await
    }

    /// The projects that a user has joined (`DescribeUserProjects`), all at once. One that cannot be read as a whole
    /// comes with what can be read of it, its `Id` and `Name` at least.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn user_projects(&self, user_id: i64) -> Result<Reply<Vec<Row>>, Error> {
        let ask = Ask { row_by_row: true, ..Ask::read(&["ProjectList"]) };
        let params = params(json!({ "UserId": user_id }));
        self.exchange("DescribeUserProjects", &params, &ask, ReadProjects).await
    }

    /// The team's projects that the credential may see (`DescribeCodingProjects`).
    #[must_use]
    pub fn projects(&self) -> Listing {
        self.listing("DescribeCodingProjects", Map::new(), "Id")
    }

    /// Issues of a project (`DescribeIssueListWithPage`), as list rows.
    #[must_use]
    pub fn issues(&self, query: IssueQuery) -> Listing {
        let page_size = query.rows_per_page();
        self.listing("DescribeIssueListWithPage", query.into_params(), "Code").with_page_size(page_size)
    }

    /// One issue with everything that belongs to it (`DescribeIssue`). Lacks some fields of the list row.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn issue(&self, project: &str, code: i64) -> Result<Reply<Row>, Error> {
        self.call("DescribeIssue", &params(json!({ "ProjectName": project, "IssueCode": code })), &["Issue"])
            .await
    }

    /// The issues below an issue (`DescribeSubIssueList`), as list rows, all at once.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn sub_issues(&self, project: &str, code: i64) -> Result<Reply<Vec<Row>>, Error> {
        let params = params(json!({ "ProjectName": project, "IssueCode": code }));
        self.call("DescribeSubIssueList", &params, &["SubIssueList"]).await
    }

    /// Iterations of a project (`DescribeIterationList`); takes the project's identifier or an
    /// [`IterationQuery`].
    #[must_use]
    pub fn iterations(&self, query: impl Into<IterationQuery>) -> Listing {
        let listing = self.listing("DescribeIterationList", query.into().into_params(), "Code");
        Listing { style: Style::Offset, ..listing }
    }

    /// One iteration (`DescribeIteration`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn iteration(&self, project: &str, code: i64) -> Result<Reply<Row>, Error> {
        let params = params(json!({ "ProjectName": project, "IterationCode": code }));
        self.call("DescribeIteration", &params, &["Iteration"]).await
    }

    /// The members of the project with this id (`DescribeProjectMembers`), with their roles.
    #[must_use]
    pub fn project_members(&self, project_id: i64) -> Listing {
        self.listing("DescribeProjectMembers", params(json!({ "ProjectId": project_id })), "Id")
    }

    /// The members of the team (`DescribeTeamMembers`).
    #[must_use]
    pub fn team_members(&self) -> Listing {
        self.listing("DescribeTeamMembers", Map::new(), "Id")
    }

    /// The roles of the project with this id (`DescribeProjectRoles`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn project_roles(&self, project_id: i64) -> Result<Reply<Vec<Row>>, Error> {
        self.call("DescribeProjectRoles", &params(json!({ "ProjectId": project_id })), &["Roles"]).await
    }

    /// The fields of a type of issue (`DescribeProjectIssueFieldList`), those of one custom type if its id is
    /// given.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn issue_fields(
        &self,
        project: &str,
        issue_type: IssueType,
        type_id: Option<i64>,
    ) -> Result<Reply<Vec<Row>>, Error> {
        let params = of_type(project, issue_type, type_id);
        self.call("DescribeProjectIssueFieldList", &params, &["ProjectIssueFieldList"]).await
    }

    /// The statuses of a type of issue (`DescribeProjectIssueStatusList`), those of one custom type if its id
    /// is given.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn issue_statuses(
        &self,
        project: &str,
        issue_type: IssueType,
        type_id: Option<i64>,
    ) -> Result<Reply<Vec<Row>>, Error> {
        let params = of_type(project, issue_type, type_id);
        self.call("DescribeProjectIssueStatusList", &params, &["ProjectIssueStatusList"]).await
    }

    /// The types of issues in a project, custom ones included (`DescribeProjectIssueTypeList`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn project_issue_types(&self, project: &str) -> Result<Reply<Vec<Row>>, Error> {
        let params = params(json!({ "ProjectName": project }));
        self.call("DescribeProjectIssueTypeList", &params, &["IssueTypes"]).await
    }

    /// The types of issues in the team (`DescribeTeamIssueTypeList`).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn team_issue_types(&self) -> Result<Reply<Vec<Row>>, Error> {
        self.call("DescribeTeamIssueTypeList", &Map::new(), &["IssueTypes"]).await
    }

    pub(crate) fn listing(
        &self,
        action: &'static str,
        params: Map<String, Value>,
        key: &'static str,
    ) -> Listing {
        let client = self.clone();
        Listing {
            client,
            action,
            params,
            style: Style::Numbered,
            page_size: PageSize::MAX,
            key,
            row_by_row: false,
        }
    }
}

fn of_type(project: &str, issue_type: IssueType, type_id: Option<i64>) -> Map<String, Value> {
    let mut params = params(json!({ "ProjectName": project, "IssueType": issue_type.as_str() }));
    if let Some(id) = type_id {
        params.insert("IssueTypeId".to_owned(), id.into());
    }
    params
}

/// The object that `json!` makes of braces.
pub(crate) fn params(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(params) => params,
        _ => Map::new(),
    }
}
